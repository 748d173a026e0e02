//! Pingora with the header work that the others do; by itself it adds nothing and removes nothing.

use std::net::SocketAddr;

use async_trait::async_trait;
use clap::Parser;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[derive(Parser)]
struct Args {
    /// Where to listen
    listen: SocketAddr,
    /// Where to forward to
    upstream: SocketAddr,
    /// How many threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// As many idle connections as all of the others keep; its own default is 128.
const MAX_IDLE: usize = 64;

/// Of one hop alone.
const OF_THIS_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

struct Forward {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        for name in OF_THIS_HOP {
            request.remove_header(name);
        }
        if let Some(peer) = session.client_addr().and_then(|addr| addr.as_inet()) {
            let peer = peer.ip().to_string();
            let before = request.headers.get("x-forwarded-for").and_then(|before| before.to_str().ok());
            let all = before.map_or_else(|| peer.clone(), |before| format!("{before}, {peer}"));
            request.insert_header("x-forwarded-for", all)?;
        }
        request.insert_header("x-forwarded-proto", "http")?;
        if let Some(host) = request.headers.get("host").cloned() {
            request.insert_header("x-forwarded-host", host)?;
        }
        Ok(())
    }
}

fn main() {
    let args = Args::parse();
    let conf =
        ServerConf { threads: args.threads, upstream_keepalive_pool_size: MAX_IDLE, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Forward { upstream: args.upstream });
    service.add_tcp(&args.listen.to_string());
    server.add_service(service);
    server.run_forever();
}
