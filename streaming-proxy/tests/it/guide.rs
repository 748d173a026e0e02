//! The gateway of `docs/guides/gateway.md`, which is the example `gateway`, and the story that is told of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tramline_streaming_proxy::Routes;

use crate::client::{Client, get};
use crate::forward_example::program;
use crate::origin::{real, soon};

const GUIDE: &str = include_str!("../../../docs/guides/gateway.md");
const EXAMPLE: &str = include_str!("../../examples/gateway.rs");

#[test]
fn the_guide_shows_the_example() {
    let shown: Vec<_> = GUIDE.split("```rs\n").skip(1).collect();
    assert!(shown.len() >= 7);
    for block in shown {
        let (block, _) = block.split_once("```").unwrap();
        assert!(EXAMPLE.contains(block), "not in examples/gateway.rs:\n{block}");
    }
}

#[test]
fn the_tables_of_the_guide_are_tables() {
    let tables: Vec<_> = GUIDE.split("```toml\n").skip(1).collect();
    assert!(!tables.is_empty());
    for block in tables {
        let (table, _) = block.split_once("```").unwrap();
        let read =
            Routes::from_toml(table, |name| (name == "USERS_URL").then(|| "127.0.0.1:9001".to_owned()));
        assert!(read.is_ok(), "{table}\n{}", read.unwrap_err());
    }
}

/// The process, and what it says.
struct Gateway {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
}

impl Gateway {
    async fn start(folder: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(program("gateway").await);
        command.arg(folder.join("routes.toml")).args(["--http", "127.0.0.1:0"]).args(more);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, told }
    }

    async fn told(&mut self) -> String {
        soon("a line", self.told.next_line()).await.unwrap().expect("a line")
    }

    async fn listens(&mut self, scheme: &str) -> SocketAddr {
        let line = self.told().await;
        line.strip_prefix(&format!("{scheme} on ")).unwrap_or_else(|| panic!("{line}")).parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()), signal).unwrap();
    }

    async fn ends(&mut self) -> bool {
        soon("its end", self.child.wait()).await.unwrap().success()
    }
}

/// A certificate in the folder; who connects must see this one.
fn certificate(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

async fn secure(
    addr: SocketAddr,
    believed: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("shop.example").unwrap(), stream).await
}

async fn told(request: Request<Incoming>) -> Response<String> {
    let field = |name: &str| request.headers().get(name).map_or("none", |value| value.to_str().unwrap());
    Response::new(format!("{} {} {}", request.uri(), field("x-forwarded-proto"), field("x-forwarded-for")))
}

fn table(folder: &Path, upstream: SocketAddr, route: &str) {
    let text =
        format!("[upstreams.all]\naddresses = [\"{upstream}\"]\n[[routes]]\nupstream = \"all\"\n{route}\n");
    std::fs::write(folder.join("routes.toml"), text).unwrap();
}

/// Scenario: http redirects to https, a table and a certificate change while it runs, a bad one of each changes nothing,
/// and the end comes in good order.
#[tokio::test]
async fn it_serves_reloads_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let upstream = real(told).await;
    table(folder, upstream, "prefix = \"/\"");
    let first = certificate(folder);
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let mut gateway = Gateway::start(folder, &["--https", "127.0.0.1:0", "--cert", cert, "--key", key]).await;
    let (http, https) = (gateway.listens("http").await, gateway.listens("https").await);

    let redirected = get(http, "/a?b").await;
    assert_eq!(redirected.status, 308);
    let wanted = format!("https://a.example:{}/a?b", https.port());
    assert_eq!(redirected.header("location"), Some(wanted.as_str()));
    let ask = async |path: &str, believed: &CertificateDer<'static>| {
        let mut client = Client::over(secure(https, believed).await.unwrap());
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"))
            .await;
        client.answer().await
    };
    let answer = ask("/a?b", &first).await;
    assert_eq!((answer.status, answer.text()), (200, "/a?b https 127.0.0.1"));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"address\";q=600;w=60"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));

    table(folder, upstream, "prefix = \"/shop\"\nstrip = \"/shop\"");
    let second = certificate(folder);
    gateway.signal(Signal::SIGHUP);
    assert_eq!(gateway.told().await, "routes were read");
    assert_eq!(gateway.told().await, "the certificate was read");
    assert_eq!(ask("/a", &second).await.status, 404);
    assert_eq!(ask("/shop/a", &second).await.text(), "/a https 127.0.0.1");
    assert!(secure(https, &first).await.is_err(), "the old certificate is gone");

    table(folder, upstream, "prefix = \"/\"\ncolour = 1");
    std::fs::write(folder.join("key.pem"), "no key").unwrap();
    gateway.signal(Signal::SIGHUP);
    let line = gateway.told().await;
    assert!(line.starts_with("routes stay as they were: line 6: "), "{line}");
    assert_eq!(gateway.told().await, "the certificate stays");
    assert_eq!(ask("/shop/a", &second).await.status, 200);

    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.told().await, "drained");
    assert!(gateway.ends().await);
}

/// Limits as the guide has them, and a front that is believed.
#[tokio::test]
async fn it_limits_whom_the_front_names() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path(), real(told).await, "prefix = \"/\"");
    let more = ["--trusted", "127.0.0.0/8", "--rate", "2/min"];
    let mut gateway = Gateway::start(folder.path(), &more).await;
    let http = gateway.listens("http").await;
    let ask = async |client: &str, head: &str| {
        let mut wire = Client::connect(http).await;
        wire.send(format!("{head} / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n")).await;
        wire.answer().await
    };
    for _ in 0..2 {
        assert_eq!(ask("203.0.113.7", "GET").await.text(), "/ http 203.0.113.7, 127.0.0.1");
    }
    assert_eq!(ask("203.0.113.7", "GET").await.status, 429);
    assert_eq!(ask("203.0.113.8", "GET").await.status, 200);
    let mut wire = Client::connect(http).await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485761\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 413);
}

/// With a bad table there is no gateway, and no port.
#[tokio::test]
async fn it_does_not_start_on_a_bad_table() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("routes.toml"), "[[routes]]\nprefix = \"/\"\n").unwrap();
    let mut gateway = Gateway::start(folder.path(), &[]).await;
    assert!(!gateway.ends().await);
    assert_eq!(soon("no line", gateway.told.next_line()).await.unwrap(), None);
}
