//! TLS to upstreams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tramline_streaming_proxy::config::{HttpVersion, Roots};
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{
    ErrorKind, Forwarder, ProxyConfig, Route, Routes, Sent, Stage, Upstream, UpstreamConfig,
};

use crate::client::{Client, once};
use crate::origin::{Front, listen, raw, soon};

/// An upstream within TLS, whose certificate is for these names.
struct Origin {
    addr: SocketAddr,
    certificate: String,
}

/// Answers with the version that it was asked in, the authority, and the name that was asked for in the handshake.
async fn origin(names: &[&str], alpn: &[&str]) -> Origin {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let session = stream.get_ref().1;
                let name = session.server_name().unwrap_or("no name").to_owned();
                let is_http2 = session.alpn_protocol() == Some(b"h2");
                let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                    let authority = match request.uri().authority() {
                        Some(authority) => format!("{}://{authority}", request.uri().scheme_str().unwrap()),
                        None => request.headers()["host"].to_str().unwrap().to_owned(),
                    };
                    let mut answer = Response::new(format!("{:?} {authority} {name}", request.version()));
                    if let Some(protocol) = request.headers().get("upgrade").cloned() {
                        *answer.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
                        answer.headers_mut().insert("connection", "upgrade".parse().unwrap());
                        answer.headers_mut().insert("upgrade", protocol);
                        let upgraded = hyper::upgrade::on(&mut request);
                        tokio::spawn(async move {
                            let mut stream = TokioIo::new(upgraded.await.unwrap());
                            let (mut read, mut write) = tokio::io::split(&mut stream);
                            let _ = tokio::io::copy(&mut read, &mut write).await;
                        });
                    }
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                let io = TokioIo::new(stream);
                if is_http2 {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(io, service).await;
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    let _ = builder.serve_connection(io, service).with_upgrades().await;
                }
            });
        }
    });
    Origin { addr, certificate: cert.pem() }
}

fn trusting(certificate: &str) -> UpstreamConfig {
    let mut config = UpstreamConfig::default();
    config.roots = Roots::from_pem(certificate.as_bytes()).unwrap();
    config
}

fn forwarder(address: &str, config: UpstreamConfig) -> Forwarder {
    let upstream = Upstream::new("test", [address], config).unwrap();
    Forwarder::new(ProxyConfig::default(), Routes::new([Route::new("/", upstream)]).unwrap())
}

async fn front(address: &str, config: UpstreamConfig) -> Front {
    Front::serving(forwarder(address, config), ServerConfig::default()).await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn the_version_is_what_both_speak() {
    for (speaks, version, wanted) in [
        (["h2", "http/1.1"].as_slice(), HttpVersion::Negotiated, "HTTP/2.0"),
        (&["http/1.1"], HttpVersion::Negotiated, "HTTP/1.1"),
        (&[], HttpVersion::Negotiated, "HTTP/1.1"),
        (&["h2", "http/1.1"], HttpVersion::Http1, "HTTP/1.1"),
        (&["h2", "http/1.1"], HttpVersion::Http2, "HTTP/2.0"),
    ] {
        let origin = origin(&["localhost"], speaks).await;
        let mut config = trusting(&origin.certificate);
        config.version = version;
        let port = origin.addr.port();
        let front = front(&format!("https://localhost:{port}"), config).await;
        let authority = if wanted == "HTTP/2.0" { "https://localhost" } else { "localhost" };
        let mut client = Client::connect(front.addr).await;
        for _ in 0..3 {
            client.send(GET).await;
            let answer = client.answer().await;
            assert_eq!(
                answer.text(),
                format!("{wanted} {authority}:{port} localhost"),
                "{speaks:?} {version:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_address_is_a_name_too() {
    // An address is never sent as a name (RFC 6066, 3), and is looked for in the certificate all the same.
    let origin = origin(&["127.0.0.1"], &["http/1.1"]).await;
    let front = front(&format!("https://{}", origin.addr), trusting(&origin.certificate)).await;
    assert_eq!(once(front.addr, GET).await.text(), format!("HTTP/1.1 {} no name", origin.addr));
}

#[tokio::test]
async fn a_tunnel_is_of_http1_though_the_upstream_would_rather_speak_http2() {
    let origin = origin(&["localhost"], &["h2", "http/1.1"]).await;
    let front =
        front(&format!("https://localhost:{}", origin.addr.port()), trusting(&origin.certificate)).await;
    assert!(once(front.addr, GET).await.text().starts_with("HTTP/2.0"));
    let mut client = Client::connect(front.addr).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 101"));
    client.send("ping").await;
    assert_eq!(client.exactly(4).await.unwrap(), b"ping");
}

/// What a request to it fails with.
async fn failure(address: &str, config: UpstreamConfig) -> tramline_streaming_proxy::ProxyError {
    let request = Request::post("/").header("host", "a").body(String::new()).unwrap();
    soon("a failure", forwarder(address, config).oneshot(request)).await.unwrap_err()
}

#[tokio::test]
async fn whom_nobody_vouches_for_gets_nothing() {
    let (ours, theirs) =
        (origin(&["localhost"], &[]).await, origin(&["localhost", "other.example"], &[]).await);
    let port = ours.addr.port();
    for (address, config) in [
        // Somebody else's word, the public's, and a word for another name.
        (format!("https://localhost:{port}"), trusting(&theirs.certificate)),
        (format!("https://localhost:{port}"), UpstreamConfig::default()),
        (format!("https://127.0.0.1:{port}"), trusting(&ours.certificate)),
    ] {
        let error = failure(&address, config.clone()).await;
        assert_eq!(
            (error.kind(), error.stage(), error.sent()),
            (ErrorKind::TlsFailed, Stage::Tls, Sent::Not)
        );
        assert!(error.is_retryable());
        let answer = once(front(&address, config).await.addr, GET).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.header("proxy-status"), Some("tramline; error=tls_certificate_error"));
    }
}

#[tokio::test]
async fn who_does_not_speak_it_is_told_from_who_does_not_answer() {
    // A server without TLS, and one that speaks no common protocol.
    let plain = crate::origin::real(|_| async { Response::new(String::new()) }).await;
    let old = origin(&["localhost"], &["http/1.1"]).await;
    let mut only_http2 = trusting(&old.certificate);
    only_http2.version = HttpVersion::Http2;
    for (address, config) in [
        (format!("https://{plain}"), UpstreamConfig::default()),
        (format!("https://localhost:{}", old.addr.port()), only_http2),
    ] {
        let error = failure(&address, config).await;
        assert_eq!(
            (error.kind(), error.stage(), error.sent()),
            (ErrorKind::TlsFailed, Stage::Tls, Sent::Not)
        );
    }
    let silent = raw(|mut stream, _| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut config = UpstreamConfig::default();
    config.tls_timeout = Duration::from_millis(30);
    let error = failure(&format!("https://{silent}"), config).await;
    assert_eq!(
        (error.kind(), error.stage(), error.sent()),
        (ErrorKind::ConnectTimeout, Stage::Tls, Sent::Not)
    );
}

#[test]
fn roots_are_certificates() {
    for bundle in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert_eq!(Roots::from_pem(bundle.as_bytes()).unwrap_err().kind(), ErrorKind::Config, "{bundle}");
    }
    assert_eq!(Roots::public(), Roots::default());
}
