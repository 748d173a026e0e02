//! `wss://`.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tramline_ws_rooms::client::{Client, Options, Roots};
use tramline_ws_rooms::protocol::ServerFrame;
use tramline_ws_rooms::{Error, ErrorKind};

use super::server::Server;
use crate::support::node;

/// A server's half of TLS, and the certificate in PEM.
pub(crate) fn certificate(name: &str) -> (ServerConfig, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (config, cert.pem())
}

async fn connect(url: &str, roots: Roots) -> Result<Client, Error> {
    let mut options = Options::bearer("ada/customer/s1");
    options.roots = roots;
    Client::connect(url, options).await
}

#[tokio::test]
async fn a_server_is_believed_by_its_certificate_and_name() {
    let (config, pem) = certificate("localhost");
    let server = Server::start_with_tls(node(), config).await;
    let port = server.addr.port();
    let believed = Roots::from_pem(pem.as_bytes()).unwrap();

    let mut client = connect(&format!("wss://localhost:{port}/ws"), believed.clone()).await.unwrap();
    let welcome = client.next().await.unwrap();
    assert!(matches!(welcome, Some(ServerFrame::Welcome(welcome)) if welcome.user_id == "ada"));

    // Another name than the certificate's.
    let error = connect(&format!("wss://127.0.0.1:{port}/ws"), believed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    // Another certificate than the one that is believed; the public authorities know nothing of it either.
    let (_, other) = certificate("localhost");
    for roots in [Roots::from_pem(other.as_bytes()).unwrap(), Roots::public()] {
        let error = connect(&format!("wss://localhost:{port}/ws"), roots).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
    }
    assert_eq!(server.rooms.stats().connections, 1, "nobody else got so far");
}

#[tokio::test]
async fn what_is_no_certificate_is_no_root() {
    for bundle in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert_eq!(Roots::from_pem(bundle.as_bytes()).unwrap_err().kind(), ErrorKind::Connect, "{bundle}");
    }
}
