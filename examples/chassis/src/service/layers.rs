//! What stands around every service's router.

use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::{Extension, Router, middleware};
use http::Extensions;
use tower_http::catch_panic::CatchPanicLayer;
use tramline_observability::layer::RecordRouteLayer;
use tramline_observability::{HttpLayer, Trust};

use crate::extract::BODY_LIMIT;
use crate::problem::{catch_panic, problems};
use crate::shell::Shell;

/// From the outside in: request id, trace and metrics; problems; panics; limits; the router.
pub(super) fn wrap(shell: &Shell, router: Router) -> Router {
    let common = shell.common();
    // The gateway talks to the internet, a service to the gateway.
    let trust = if common.name == "gateway" { Trust::Public } else { Trust::Internal };
    let route = |extensions: &Extensions| extensions.get::<MatchedPath>().map(|path| path.as_str().into());
    let mut router = router;
    if router.has_routes() {
        router = router.route_layer(RecordRouteLayer::new(route));
    }
    let router = router
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(catch_panic))
        .layer(middleware::from_fn(problems))
        .layer(Extension(common.trusted_proxies.clone()));
    let router = match shell.auth_handle() {
        Some(auth) => router.layer(Extension(auth)),
        None => router,
    };
    router.layer(HttpLayer::new(common.name, trust))
}
