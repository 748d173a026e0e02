//! hyper's server, and the client of hyper-util with its pool.

use std::net::SocketAddr;

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// As many idle connections as all of the others keep.
const MAX_IDLE: usize = 64;

/// What a thread has.
#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Incoming>,
    authority: Authority,
}

fn main() -> anyhow::Result<()> {
    bare::run(
        |args| upstream(args.upstream),
        async |client, peer, upstream| {
            let service = service_fn(|mut request| {
                let upstream = upstream.clone();
                async move {
                    bare::request(request.headers_mut(), peer.ip());
                    Ok::<_, std::convert::Infallible>(upstream.forward(request).await.map_or_else(
                        |_| {
                            let mut failed =
                                Response::new(Either::Right(http_body_util::Empty::<bytes::Bytes>::new()));
                            *failed.status_mut() = http::StatusCode::BAD_GATEWAY;
                            failed
                        },
                        |response| response.map(Either::Left),
                    ))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(client), service)
                .await;
        },
    )
}

fn upstream(addr: SocketAddr) -> Upstream {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(MAX_IDLE).build(connector);
    Upstream { client, authority: Authority::try_from(addr.to_string()).expect("an address is an authority") }
}

impl Upstream {
    async fn forward(&self, mut request: Request<Incoming>) -> anyhow::Result<Response<Incoming>> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(parts)?;
        let mut response = self.client.request(request).await?;
        bare::response(response.headers_mut());
        Ok(response)
    }
}
