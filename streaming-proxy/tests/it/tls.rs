//! TLS at the listener.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tramline_streaming_proxy::edge::proxy_protocol::ProxyProtocol;
use tramline_streaming_proxy::edge::tls::{Certificate, Certificates, Tls, TlsConfig};
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{
    Forwarder, ProxyConfig, Route, Routes, TrustedProxies, Upstream, UpstreamConfig,
};

use crate::client::Client;
use crate::h2client::H2;
use crate::origin::{Bare, Front, real, soon};

/// A certificate, and what a client needs to believe it.
struct Made {
    certificate: Certificate,
    der: CertificateDer<'static>,
}

fn made(names: &[&str]) -> Made {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let certificate =
        Certificate::from_pem(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap();
    Made { certificate, der: cert.der().clone() }
}

fn tls(certificates: &[&Made], config: TlsConfig) -> Tls {
    let certificates = certificates.iter().map(|made| made.certificate.clone());
    Tls::new(Certificates::new(certificates).unwrap(), config).unwrap()
}

/// A front within `tls`, whose upstream answers with the scheme that it was told.
async fn front(tls: &Tls) -> Front {
    let upstream = real(|request| async move {
        let scheme = request.headers()["x-forwarded-proto"].to_str().unwrap().to_owned();
        Response::new(scheme)
    })
    .await;
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let routes = Routes::new([Route::new("/", upstream)]).unwrap();
    let mut config = ServerConfig::default();
    config.tls = Some(tls.clone());
    Front::serving(Forwarder::new(ProxyConfig::default(), routes), config).await
}

/// Believes these, whichever it is shown.
fn client(believed: &[&Made]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for made in believed {
        roots.add(made.der.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn try_connect(
    front: &Front,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    within(TcpStream::connect(front.addr).await.unwrap(), config, name).await
}

async fn within(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon("handshake", TlsConnector::from(config.clone()).connect(name, stream)).await
}

async fn connect(front: &Front, config: &Arc<ClientConfig>, name: &str) -> Client<TlsStream<TcpStream>> {
    Client::over(try_connect(front, config, name).await.unwrap())
}

fn shown(client: &Client<TlsStream<TcpStream>>) -> CertificateDer<'static> {
    client.stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn get(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[tokio::test]
async fn the_certificate_is_the_one_for_the_name() {
    let (a, b) = (made(&["a.example"]), made(&["*.b.example"]));
    let front = front(&tls(&[&a, &b], TlsConfig::default())).await;
    let config = Arc::new(client(&[&a, &b]));
    for (name, wanted) in [("a.example", &a), ("x.b.example", &b)] {
        let mut client = connect(&front, &config, name).await;
        assert_eq!(shown(&client), wanted.der);
        client.send(get(name)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "https"), "and the upstream knows that it was TLS");
    }
    assert!(try_connect(&front, &config, "c.example").await.is_err(), "a name that no certificate has");
}

#[tokio::test]
async fn without_a_name_it_is_the_first() {
    let (a, b) = (made(&["a.example", "127.0.0.1"]), made(&["b.example"]));
    let front = front(&tls(&[&a, &b], TlsConfig::default())).await;
    // An address is never sent as a name (RFC 6066, 3).
    let mut client = connect(&front, &Arc::new(client(&[&a, &b])), "127.0.0.1").await;
    assert_eq!(shown(&client), a.der);
    client.send(get("b.example")).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn another_host_than_the_certificates_is_421() {
    let (a, b) = (made(&["a.example", "*.a.example"]), made(&["b.example"]));
    let front = front(&tls(&[&a, &b], TlsConfig::default())).await;
    let mut client = connect(&front, &Arc::new(client(&[&a, &b])), "a.example").await;
    let mut status = async |request: String| {
        client.send(request).await;
        let answer = client.answer().await;
        if answer.status == 421 {
            assert_eq!(answer.code(), "MISDIRECTED");
        }
        answer.status
    };
    for host in ["a.example", "A.Example:8443", "x.a.example"] {
        assert_eq!(status(get(host)).await, 200, "{host}");
    }
    for host in ["b.example", "b.example:443", "x.y.a.example", "127.0.0.1", "[::1]"] {
        assert_eq!(status(get(host)).await, 421, "{host}");
    }
    let absolute = "GET https://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n";
    assert_eq!(status(absolute.to_owned()).await, 421);
    // What names two hosts is not for one or the other (RFC 9112, 3.2), and whoever says so may say more.
    let hidden = "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n";
    assert_eq!(status(hidden.to_owned()).await, 400);
    assert!(client.is_ended().await);
}

#[tokio::test]
async fn a_reload_changes_new_connections_and_cuts_none() {
    let (old, new) = (made(&["a.example"]), made(&["a.example"]));
    let tls = tls(&[&old], TlsConfig::default());
    let front = front(&tls).await;
    let config = || Arc::new(client(&[&old, &new]));
    let mut before = connect(&front, &config(), "a.example").await;
    before.send(get("a.example")).await;
    assert_eq!(before.answer().await.status, 200);

    tls.reload(|| Certificates::new([new.certificate.clone()])).unwrap();
    let after = connect(&front, &config(), "a.example").await;
    assert_eq!(shown(&after), new.der);
    before.send(get("a.example")).await;
    assert_eq!(before.answer().await.status, 200, "the connection from before goes on");
    assert_eq!(shown(&before), old.der);
}

/// How often each `result` of `name` was counted. Reading empties it.
fn results(snapshotter: &Snapshotter, name: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        if let DebugValue::Counter(count @ 1..) = value
            && key.key().name() == name
        {
            found.push((key.key().labels().next().unwrap().value().to_owned(), count));
        }
    }
    found
}

#[tokio::test]
async fn a_bad_reload_changes_nothing_and_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let made = made(&["a.example"]);
    let tls = tls(&[&made], TlsConfig::default());
    let front = front(&tls).await;
    let missing = || Err::<Certificates, _>(std::io::Error::from(std::io::ErrorKind::NotFound));
    let error = tls.reload(missing).unwrap_err();
    assert!(std::error::Error::source(&error).is_some_and(|cause| cause.is::<std::io::Error>()));
    assert!(tls.reload(|| Certificates::new([])).is_err());
    let client = connect(&front, &Arc::new(client(&[&made])), "a.example").await;
    assert_eq!(shown(&client), made.der);
    assert_eq!(results(&snapshotter, "streaming_proxy.tls.reloads"), [("failed".to_owned(), 2)]);
}

#[tokio::test]
async fn sessions_are_resumed_also_after_a_reload() {
    let made = made(&["a.example"]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let tls = tls(&[&made], TlsConfig::default());
        let front = front(&tls).await;
        let mut roots = RootCertStore::empty();
        roots.add(made.der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = connect(&front, &config, "a.example").await;
            // The ticket comes with the first answer.
            client.send(get("a.example")).await;
            assert_eq!(client.answer().await.status, 200);
            assert_eq!(client.stream.get_ref().1.handshake_kind(), Some(kind), "{version:?}");
            tls.reload(|| Certificates::new([made.certificate.clone()])).unwrap();
        }
    }
}

#[tokio::test]
async fn early_data_is_refused() {
    let made = made(&["a.example"]);
    let front = front(&tls(&[&made], TlsConfig::default())).await;
    let mut config = client(&[&made]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for _ in 0..2 {
        let mut client = connect(&front, &config, "a.example").await;
        client.send(get("a.example")).await;
        assert_eq!(client.answer().await.status, 200);
    }
    let name = ServerName::try_from("a.example").unwrap();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    assert!(session.early_data().is_none(), "a ticket that allows it");
}

/// The client's configuration, which offers these protocols.
fn offering(made: &Made, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut config = client(&[made]);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

#[tokio::test]
async fn the_protocol_is_what_both_speak() {
    let made = made(&["a.example"]);
    let front = front(&tls(&[&made], TlsConfig::default())).await;
    for (offered, agreed) in [
        (["http/1.1", "h2"].as_slice(), Some("h2")),
        (["h2"].as_slice(), Some("h2")),
        (["http/1.1"].as_slice(), Some("http/1.1")),
        ([].as_slice(), None),
    ] {
        let mut client = connect(&front, &offering(&made, offered), "a.example").await;
        assert_eq!(client.stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes));
        if agreed == Some("h2") {
            let client = H2::over(client.stream, &h2::client::Builder::new()).await;
            let answer = client.ask(https("a.example")).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "https"));
        } else {
            client.send(get("a.example")).await;
            assert_eq!(client.answer().await.text(), "https");
        }
    }
    assert!(try_connect(&front, &offering(&made, &["h3"]), "a.example").await.is_err());
    // Who does not want it says so.
    let mut config = TlsConfig::default();
    config.alpn = vec![b"http/1.1".to_vec()];
    let front = self::front(&tls(&[&made], config)).await;
    let client = connect(&front, &offering(&made, &["h2", "http/1.1"]), "a.example").await;
    assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

fn https(host: &str) -> http::Request<()> {
    http::Request::get(format!("https://{host}/")).body(()).unwrap()
}

#[tokio::test]
async fn a_connection_that_is_shared_for_another_host_is_421() {
    // Scenario: browsers send requests for all hosts of a certificate on one connection of HTTP/2, and may be wrong
    // about which those are (RFC 9113, 9.1.1).
    let (a, b) = (made(&["a.example", "*.a.example"]), made(&["b.example"]));
    let front = front(&tls(&[&a, &b], TlsConfig::default())).await;
    let stream = connect(&front, &offering(&a, &["h2"]), "a.example").await.stream;
    let client = H2::over(stream, &h2::client::Builder::new()).await;
    for (host, status) in [("a.example", 200), ("x.a.example", 200), ("b.example", 421), ("a.example", 200)] {
        assert_eq!(client.ask(https(host)).await.status.as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut() {
    let made = made(&["a.example"]);
    let mut config = TlsConfig::default();
    config.handshake_timeout = Duration::from_millis(30);
    let front = front(&tls(&[&made], config)).await;
    // Nothing, and the beginning of a ClientHello.
    for bytes in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01"] {
        let mut client = Client::connect(front.addr).await;
        client.send(bytes).await;
        assert!(client.is_ended().await);
    }
}

#[tokio::test]
async fn plain_text_gets_no_answer() {
    let made = made(&["a.example"]);
    let front = front(&tls(&[&made], TlsConfig::default())).await;
    let mut client = Client::connect(front.addr).await;
    client.send(get("a.example")).await;
    assert!(client.try_answer().await.is_none());
}

#[tokio::test]
async fn a_drain_waits_for_no_handshake() {
    let made = made(&["a.example"]);
    let mut config = TlsConfig::default();
    config.handshake_timeout = Duration::from_secs(1000);
    let mut front = front(&tls(&[&made], config)).await;
    let mut silent = Client::connect(front.addr).await;
    // Connections are accepted in order: this one shows that the silent one was.
    let mut busy = connect(&front, &Arc::new(client(&[&made])), "a.example").await;
    busy.send(get("a.example")).await;
    assert_eq!(busy.answer().await.status, 200);
    front.stop.take();
    assert!(silent.is_ended().await);
    soon("drained", &mut front.server).await.unwrap();
}

#[tokio::test]
async fn a_fronts_header_comes_before_tls() {
    let made = made(&["a.example"]);
    let mut config = ServerConfig::default();
    config.tls = Some(tls(&[&made], TlsConfig::default()));
    config.proxy_protocol = Some(ProxyProtocol::new(TrustedProxies::loopback()));
    let server = Bare::answering(config, |peer| format!("{} {}", peer.addr, peer.tls)).await;
    let mut client = Client::connect(server.addr).await;
    client.send("PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\r\n").await;
    let stream = within(client.stream, &Arc::new(self::client(&[&made])), "a.example").await;
    let mut client = Client::over(stream.unwrap());
    client.send(get("a.example")).await;
    assert_eq!(client.answer().await.text(), "203.0.113.9:8080 true");
}

#[tokio::test]
async fn a_reader_that_stalls_is_cut_within_tls_too() {
    let made = made(&["a.example"]);
    let mut config = ServerConfig::default();
    config.tls = Some(tls(&[&made], TlsConfig::default()));
    config.write_timeout = Duration::from_millis(50);
    let mut server = Bare::answering(config, |_| "x".repeat(64 << 20)).await;
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let mut client = Client::over(within(stream, &Arc::new(client(&[&made])), "a.example").await.unwrap());
    client.send(get("a.example")).await;
    soon("the answer begins", client.head()).await.unwrap();
    server.stop.take();
    // The client holds its end open and reads no more: only the timer lets the drain end.
    soon("drained", &mut server.server).await.unwrap();
    drop(client);
}
