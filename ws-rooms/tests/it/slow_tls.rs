//! Readers that do not keep up, behind TLS: it takes more than the socket below it, and passes on what it took later.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tramline_ws_rooms::{Credential, Rooms};

use crate::client::tls::certificate;
use crate::support::{bulky, node, peer, slow_link};

/// A client over TLS, and the server's side as a task that ends with the close code.
struct Tls {
    client: WebSocketStream<TlsStream<DuplexStream>>,
    server: JoinHandle<u16>,
    welcome: Value,
}

// === impl Tls ===

impl Tls {
    /// Over a pipe of which the server has one end and the client the other.
    async fn connect(rooms: &Rooms, (far, near): (DuplexStream, DuplexStream)) -> Self {
        let (config, pem) = certificate("localhost");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let admission = rooms.admit(Credential::Bearer("ada/customer/s1/3600".into()), peer()).await.unwrap();
        let rooms = rooms.clone();
        let server = tokio::spawn(async move {
            let io = TlsAcceptor::from(Arc::new(config)).accept(far).await.unwrap();
            rooms.serve(admission, io).await
        });
        let name = ServerName::try_from("localhost").unwrap();
        let io = TlsConnector::from(Arc::new(client)).connect(name, near).await.unwrap();
        let client = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
        let mut tls = Self { client, server, welcome: Value::Null };
        tls.welcome = tls.text().await;
        tls
    }

    async fn text(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.client.next().await.unwrap().unwrap() {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["type"] != "ping" {
                    return frame;
                }
            }
        }
    }
}

/// As without TLS: 180 KB at 4 KB/s. What TLS holds leaves in 16 s at that rate, if it may hold what it likes.
#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_reader_stays() {
    let rooms = node();
    let long = Duration::from_secs(3_600);
    let mut ada = Tls::connect(&rooms, slow_link(4_000, long)).await;
    let start = Instant::now();
    for n in 0..3 {
        rooms.publish(bulky(&["user:ada"], &format!("b{n}"), 60_000)).await.unwrap();
    }
    for n in 1..4 {
        let event = ada.text().await;
        assert_eq!(event["offset"], n);
    }
    assert!(start.elapsed() > Duration::from_secs(40), "a slow link indeed");
    ada.client.send(Message::text(json!({"type": "ping", "id": "quiet"}).to_string())).await.unwrap();
    assert_eq!(ada.text().await, json!({"type": "pong", "id": "quiet"}));
}

/// What TLS takes is no sign of a peer that reads: the pongs of one that pings, here.
#[tokio::test(start_paused = true)]
async fn who_pings_and_reads_nothing_is_cut_after_ten_seconds() {
    let rooms = node();
    let mut deaf = Tls::connect(&rooms, tokio::io::duplex(1024)).await;
    assert_eq!(deaf.welcome["type"], "welcome");
    let start = Instant::now();
    while !deaf.server.is_finished() && start.elapsed() < Duration::from_secs(100) {
        let _ = deaf.client.send(Message::Ping(vec![0; 125].into())).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(deaf.server.await.unwrap(), 1006);
    // Some six pongs fit.
    assert!((14..=20).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
