//! TLS to upstreams.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::HttpVersion;
use crate::error::ProxyError;

/// Whose word on an upstream's certificate is taken.
#[derive(Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
}

/// What makes connections to one address speak TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    name: ServerName<'static>,
    /// What is offered to most requests.
    config: Arc<ClientConfig>,
    /// What is offered to those that need HTTP/1.1.
    #[cfg(feature = "http2")]
    http1: Arc<ClientConfig>,
}

/// What the two versions are called in ALPN (RFC 9113, 3.2; RFC 7301, 6).
#[cfg(feature = "http2")]
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

// === impl Roots ===

impl Roots {
    /// The public authorities, by Mozilla's list as it was when this was built.
    #[must_use]
    pub fn public() -> Self {
        Self { store: Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }) }
    }

    /// These and nobody else: certificates in PEM, of authorities or of the upstreams themselves. A company's own
    /// services have no business with the rest of the world.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is none, or one cannot be used.
    pub fn from_pem(bundle: &[u8]) -> Result<Self, ProxyError> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle) {
            certificate.map_err(|cause| ProxyError::config("not certificates in PEM").with(cause)).and_then(
                |certificate| {
                    let added = store.add(certificate);
                    added.map_err(|cause| {
                        ProxyError::config("a certificate that cannot be a root").with(cause)
                    })
                },
            )?;
        }
        if store.is_empty() {
            return Err(ProxyError::config("no certificate"));
        }
        Ok(Self { store: Arc::new(store) })
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::public()
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) || self.store.roots == other.store.roots
    }
}

impl Eq for Roots {}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("count", &self.store.len()).finish_non_exhaustive()
    }
}

// === impl Tls ===

impl Tls {
    /// For the host of an address, by name or by number.
    pub(crate) fn new(host: &str, roots: &Roots, version: HttpVersion) -> Result<Self, ProxyError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|cause| {
            ProxyError::config("an upstream's name cannot be one of a certificate").with(cause)
        })?;
        let config = |version| {
            // ring, whatever provider the process has installed or not.
            let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|cause| ProxyError::config("TLS").with(cause))?
                .with_root_certificates(roots.store.clone())
                .with_no_client_auth();
            config.alpn_protocols = names(version);
            Ok::<_, ProxyError>(Arc::new(config))
        };
        Ok(Self {
            name,
            config: config(version)?,
            #[cfg(feature = "http2")]
            http1: config(HttpVersion::Http1)?,
        })
    }

    /// The stream within TLS, whose other end has shown that it has this address's name.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        only_http1: bool,
    ) -> io::Result<TlsStream<TcpStream>> {
        #[cfg(feature = "http2")]
        let config = if only_http1 { &self.http1 } else { &self.config };
        #[cfg(not(feature = "http2"))]
        let (config, _) = (&self.config, only_http1);
        TlsConnector::from(config.clone()).connect(self.name.clone(), stream).await
    }

    /// Whether both sides agreed on HTTP/2.
    #[cfg(feature = "http2")]
    pub(crate) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
        stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
    }
}

/// What is offered, the preferred first.
fn names(version: HttpVersion) -> Vec<Vec<u8>> {
    let names: &[&[u8]] = match version {
        #[cfg(feature = "http2")]
        HttpVersion::Negotiated => &[HTTP_2, HTTP_1],
        #[cfg(feature = "http2")]
        HttpVersion::Http2 => &[HTTP_2],
        #[cfg(not(feature = "http2"))]
        HttpVersion::Negotiated => &[HTTP_1],
        HttpVersion::Http1 => &[HTTP_1],
    };
    names.iter().map(|name| name.to_vec()).collect()
}
