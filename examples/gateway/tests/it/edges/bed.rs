//! The two edges: the library's own, and nginx in front of the gateway with the configuration that is deployed.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use devkit::{Nginx, engines};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tramline_streaming_proxy::edge::redirect::HttpsRedirect;
use tramline_streaming_proxy::edge::tls::{Certificate, Certificates, Tls, TlsConfig};
use tramline_streaming_proxy::server::{ServerConfig, serve};

use super::wire::Wire;
use crate::support::{Answer, Setup, World};

/// The name in the configuration that is deployed.
pub(crate) const HOST: &str = "example.com";

/// A gateway behind an edge.
pub(crate) struct Bed {
    pub(crate) edge: Edge,
    pub(crate) world: World,
}

/// What clients meet.
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    /// The listener without TLS.
    pub(crate) plain: SocketAddr,
    secure: SocketAddr,
    believes: Arc<ClientConfig>,
    pub(crate) nginx: Option<Nginx>,
    redirect: Option<JoinHandle<()>>,
}

/// A certificate for [`HOST`] with its key, and who believes it.
struct Made {
    chain: String,
    key: String,
    believes: Arc<ClientConfig>,
}

impl Bed {
    /// Both, or our own alone where there is no nginx, which is said aloud.
    pub(crate) async fn both(setup: impl Fn() -> Setup) -> Vec<Self> {
        let mut beds = vec![Self::own(setup()).await];
        beds.extend(Self::nginx(setup()).await);
        beds
    }

    pub(crate) async fn own(setup: Setup) -> Self {
        let made = made();
        let certificate = Certificate::from_pem(made.chain.as_bytes(), made.key.as_bytes()).unwrap();
        let tls = Tls::new(Certificates::new([certificate]).unwrap(), TlsConfig::default()).unwrap();
        let world = World::start(Setup { tls: Some(tls), ..setup }).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = listener.local_addr().unwrap();
        let redirect =
            serve(listener, HttpsRedirect::new(), ServerConfig::default(), std::future::pending::<()>());
        let edge = Edge {
            name: "our own edge",
            plain,
            secure: world.addr,
            believes: made.believes,
            nginx: None,
            redirect: Some(tokio::spawn(redirect)),
        };
        Self { edge, world }
    }

    pub(crate) async fn nginx(setup: Setup) -> Option<Self> {
        if !engines::nginx() {
            return None;
        }
        let made = made();
        let world = World::start(Setup { trusted: "127.0.0.1", ..setup }).await;
        let mut listening = Vec::new();
        let nginx = Nginx::start_with(2, |folder, addrs| {
            addrs.clone_into(&mut listening);
            deploy(folder, [addrs[0], addrs[1]], world.addr, &made)
        });
        let nginx = nginx.await.unwrap();
        let edge = Edge {
            name: "nginx",
            plain: listening[0],
            secure: listening[1],
            believes: made.believes,
            nginx: Some(nginx),
            redirect: None,
        };
        Some(Self { edge, world })
    }

    pub(crate) async fn stop(self) {
        // The first in the row first: its connections are the gateway's.
        self.edge.stop().await;
        self.world.stop().await;
    }
}

impl Deref for Bed {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.edge
    }
}

impl Edge {
    /// A connection within TLS, to the host that is served.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::over(self.try_connect(HOST).await.unwrap())
    }

    pub(crate) async fn try_connect(&self, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.secure).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(self.believes.clone()).connect(name, stream).await
    }

    /// Raw bytes on a connection of their own, and the answer to them.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut wire = self.connect().await;
        wire.send(request).await;
        wire.answer().await
    }

    /// A request without a body.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(request(method, path, headers)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    pub(crate) async fn stop(self) {
        if let Some(redirect) = self.redirect {
            redirect.abort();
        }
        if let Some(nginx) = self.nginx {
            nginx.stop().await;
        }
    }
}

/// A head whose body has no bytes.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{length}{fields}\r\n")
}

fn made() -> Made {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Made { chain: cert.pem(), key: signing_key.serialize_pem(), believes: Arc::new(config) }
}

/// Lays the deployed files below `folder` as they lie below `/etc/nginx`; only addresses and places are others.
fn deploy(folder: &Path, addrs: [SocketAddr; 2], gateway: SocketAddr, made: &Made) -> anyhow::Result<String> {
    let deployed = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/nginx"));
    let ours = folder.join("tramline");
    fs::create_dir_all(ours.join("tls"))?;
    for entry in fs::read_dir(deployed.join("tramline"))? {
        let entry = entry?;
        fs::copy(entry.path(), ours.join(entry.file_name()))?;
    }
    fs::write(ours.join("tls/fullchain.pem"), &made.chain)?;
    fs::write(ours.join("tls/privkey.pem"), &made.key)?;
    let site = fs::read_to_string(deployed.join("tramline.conf")).context("tramline.conf")?;
    // Not every machine has IPv6.
    let mut site: String =
        site.lines().filter(|line| !line.contains("listen [::]")).flat_map(|line| [line, "\n"]).collect();
    for (from, to) in [
        ("listen 80", format!("listen {}", addrs[0])),
        ("listen 443", format!("listen {}", addrs[1])),
        ("server 127.0.0.1:3000;", format!("server {gateway};")),
        ("/etc/nginx/", format!("{}/", folder.display())),
        ("/var/log/nginx/", format!("{}/", folder.display())),
    ] {
        ensure!(site.contains(from), "tramline.conf has no {from:?} any more");
        site = site.replace(from, &to);
    }
    Ok(site)
}
