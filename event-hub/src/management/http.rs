//! One HTTP/1.1 connection to the management, for the few requests of one look or one change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, ErrorKind};
use crate::management::ManagementUrl;

/// How to get a [`Session`].
#[derive(Clone, Debug)]
pub(super) struct Door {
    url: ManagementUrl,
    tls: Option<Arc<ClientConfig>>,
    /// For the connection, and for each answer.
    patience: Duration,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Session<'a> {
    door: &'a Door,
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Some fifty thousand queues' worth of arguments. More is not read.
const BODY_BYTES: usize = 32 << 20;

// === impl Door ===

impl Door {
    /// `roots`: certificates in PEM that are believed beside the machine's own.
    pub(super) fn new(url: ManagementUrl, roots: Option<&str>, patience: Duration) -> Result<Self, Error> {
        let tls = if url.tls { Some(Arc::new(tls(roots)?)) } else { None };
        Ok(Self { url, tls, patience })
    }

    pub(super) async fn open(&self) -> Result<Session<'_>, Error> {
        let open = async {
            let socket = TcpStream::connect((self.url.host.as_str(), self.url.port)).await?;
            match &self.tls {
                None => self.shake(socket).await,
                Some(tls) => {
                    let name = ServerName::try_from(self.url.host.clone())?;
                    self.shake(TlsConnector::from(Arc::clone(tls)).connect(name, socket).await?).await
                }
            }
        };
        match timeout(self.patience, open).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(cause)) => Err(self.error(ErrorKind::Broker, "cannot be reached").with_source(cause)),
            Err(_) => Err(self.error(ErrorKind::Timeout, "cannot be reached")),
        }
    }

    async fn shake(
        &self,
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Session<'_>, Box<dyn std::error::Error + Send + Sync>> {
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let driver = tokio::spawn(async move {
            // Its error is the pending request's too.
            let _ = connection.await;
        });
        Ok(Session { door: self, sender, _driver: AbortOnDropHandle::new(driver) })
    }

    pub(super) fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("the management at {} {what}", self.url))
    }
}

// === impl Session ===

impl Session<'_> {
    /// Sends a request below `/api/`. Any answer is one, whatever its status.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Error> {
        let door = self.door;
        let ask = async {
            let body = body.map(serde_json::Value::to_string).unwrap_or_default();
            let request = Request::builder()
                .method(method)
                .uri(format!("{}/api/{path}", door.url.path))
                .header(HOST, format!("{}:{}", door.url.host, door.url.port))
                .header(AUTHORIZATION, &door.url.authorization)
                .header(ACCEPT, "application/json")
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(body)))?;
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, BODY_BYTES).collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer { status: head.status, body })
        };
        match timeout(door.patience, ask).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(cause)) => {
                Err(door.error(ErrorKind::Broker, &format!("did not answer {path}")).with_source(cause))
            }
            Err(_) => Err(door.error(ErrorKind::Timeout, &format!("did not answer {path}"))),
        }
    }
}

fn tls(roots: Option<&str>) -> Result<ClientConfig, Error> {
    let bad = |what: &str| Error::new(ErrorKind::Config, what);
    let mut store = RootCertStore::empty();
    // Those that cannot be read were none of ours; a store without any refuses every server.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(roots.unwrap_or_default().as_bytes()) {
        let certificate =
            certificate.map_err(|error| bad("the root certificates").with_source(error.to_string()))?;
        store.add(certificate).map_err(|error| bad("a root certificate").with_source(error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS").with_source(error))?;
    Ok(config.with_root_certificates(store).with_no_client_auth())
}
