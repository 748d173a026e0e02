//! The HTTP listener of a service.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use tokio::net::TcpListener;
use tower::ServiceExt;
use tramline_streaming_proxy::Peer;
use tramline_streaming_proxy::server::{RequestBody, ServerConfig, serve};

pub(super) fn config() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.header_read_timeout = Duration::from_secs(75);
    // The longest head, as the other edge has it. No upload here is larger than a few MiB.
    config.max_buffer = 64 * 1024;
    // What waits for a slow socket is to wait where it is bounded and may be dropped.
    config.max_unsent = Some(32 * 1024);
    config
}

/// Answers until `shutdown`, then until the requests under way are answered. Upgraded connections are not waited for:
/// they are someone else's by then.
pub(super) async fn run(
    listener: TcpListener,
    router: Router,
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send,
) {
    let service = tower::service_fn(move |request: Request<RequestBody>| {
        let mut request = request.map(Body::new);
        if let Some(peer) = request.extensions().get::<Peer>().copied() {
            request.extensions_mut().insert(ConnectInfo(peer.addr));
        }
        router.clone().oneshot(request)
    });
    serve(listener, service, config, shutdown).await;
}
