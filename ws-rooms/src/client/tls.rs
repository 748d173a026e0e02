//! TLS to servers (feature `client-tls`).

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, ErrorKind};

/// Whose word on a server's certificate is taken.
#[derive(Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
}

/// The stream within TLS, once the other end has shown that it is `host`.
pub(super) async fn connect(
    host: &str,
    roots: &Roots,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    // ring, whatever provider the process has installed or not.
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots.store.clone())
        .with_no_client_auth();
    // A WebSocket over HTTP/2 is another handshake (RFC 8441), which is not spoken here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

// === impl Roots ===

impl Roots {
    /// The public authorities, by Mozilla's list as it was when this was built.
    #[must_use]
    pub fn public() -> Self {
        Self { store: Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }) }
    }

    /// These and nobody else: certificates in PEM, of authorities or of the server itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] if there is none, or one cannot be used.
    pub fn from_pem(bundle: &[u8]) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle) {
            let certificate = certificate.map_err(|cause| Error::with(ErrorKind::Connect, cause))?;
            store.add(certificate).map_err(|cause| Error::with(ErrorKind::Connect, cause))?;
        }
        if store.is_empty() {
            return Err(Error::with(ErrorKind::Connect, "no certificate"));
        }
        Ok(Self { store: Arc::new(store) })
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::public()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("count", &self.store.len()).finish_non_exhaustive()
    }
}
