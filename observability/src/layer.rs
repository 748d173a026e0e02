//! Tower layers around an HTTP service.

mod body;
mod http_layer;
mod red;
mod route;

pub use self::body::HttpBody;
pub use self::http_layer::{Http, HttpFuture, HttpLayer};
pub use self::route::{RecordRoute, RecordRouteLayer, RouteSlot, RouteTemplate};
