//! TLS at the listener: certificates by name, swapped while it serves.
//!
//! ```no_run
//! use tramline_streaming_proxy::edge::tls::{Certificate, Certificates, Tls, TlsConfig};
//! use tramline_streaming_proxy::server::ServerConfig;
//!
//! fn read() -> Result<Certificates, Box<dyn std::error::Error + Send + Sync>> {
//!     let (chain, key) = (std::fs::read("shop.pem")?, std::fs::read("shop.key")?);
//!     Ok(Certificates::new([Certificate::from_pem(&chain, &key)?])?)
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let tls = Tls::new(read()?, TlsConfig::default())?;
//! let mut config = ServerConfig::default();
//! config.tls = Some(tls.clone());
//! // … `serve(listener, service, config, shutdown)`, and whenever the files have changed:
//! tls.reload(read)?;
//! # Ok(())
//! # }
//! ```
//!
//! - **Which certificate**: the one with the name that the client says it wants (SNI); exact names before wildcards,
//!   and of several with the same name the one given first. A name that none has is refused in the handshake. A client
//!   that says no name gets the first certificate.
//! - **421**: a request whose `Host` is not among the names of the certificate that the client asked for by name is
//!   answered 421 (RFC 9110, 7.4), so that nobody reaches one host by the name of another. That the listener has
//!   a certificate of that host's own changes nothing: its clients know which one they were shown, and open another
//!   connection. What is no host, an empty `Host` for one, is among no names, and 421 too. Without a name in the
//!   handshake there is nothing to compare, and without a `Host` the request is refused as any other (400).
//! - **Versions** 1.3 and 1.2, with rustls's cipher suites on ring. Sessions are resumed by tickets, whose keys live as
//!   long as the [`Tls`], change every six hours, and are known to this process alone. Early data is off: what can be
//!   replayed is no request (RFC 8470).

mod certificates;
pub(crate) mod names;
mod reload;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, Ticketer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::edge::tls::names::Names;
use crate::error::ProxyError;

pub use crate::edge::tls::certificates::{Certificate, Certificates};

/// How a [`Tls`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The protocols that are offered within TLS (ALPN, RFC 7301), the preferred first. A client that offers others
    /// only is refused; one that offers none is served HTTP/1.1.
    ///
    /// The default is what [`serve`](crate::server::serve) speaks: `h2` and `http/1.1`, or the latter alone without the
    /// feature `http2`.
    pub alpn: Vec<Vec<u8>>,
    /// How long a handshake may take before the connection is closed.
    ///
    /// The default, 10 s, survives three lost packets; a client that needs longer would not wait for a page either.
    pub handshake_timeout: Duration,
}

/// What makes connections of a listener speak TLS. Clones share the certificates and what sessions are resumed by.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    config: TlsConfig,
    /// Outlives the certificates, so that sessions are resumed across a reload.
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<Current>,
}

/// One set of certificates and what serves it.
struct Current {
    certificates: Arc<Certificates>,
    rustls: Arc<rustls::ServerConfig>,
}

/// What HTTP/2 within TLS is called (RFC 9113, 3.2).
#[cfg(feature = "http2")]
const HTTP_2: &[u8] = b"h2";

// === impl TlsConfig ===

impl Default for TlsConfig {
    fn default() -> Self {
        let alpn = vec![
            #[cfg(feature = "http2")]
            HTTP_2.to_vec(),
            b"http/1.1".to_vec(),
        ];
        Self { alpn, handshake_timeout: Duration::from_secs(10) }
    }
}

// === impl Tls ===

impl Tls {
    /// Serves `certificates`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the system gives no random numbers for ticket keys.
    pub fn new(certificates: Certificates, config: TlsConfig) -> Result<Self, ProxyError> {
        let tickets =
            Ticketer::new().map_err(|cause| ProxyError::config("no keys for tickets").with(cause))?;
        let current = Current::new(certificates, &config, &tickets)?;
        Ok(Self { shared: Arc::new(Shared { config, tickets, current: ArcSwap::from_pointee(current) }) })
    }

    /// Serves `certificates` to connections from now on; those that are open keep what they have.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) as in [`new`](Self::new); then the old ones stay.
    pub fn set_certificates(&self, certificates: Certificates) -> Result<(), ProxyError> {
        let current = Current::new(certificates, &self.shared.config, &self.shared.tickets)?;
        self.shared.current.store(Arc::new(current));
        Ok(())
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.shared.config.handshake_timeout
    }

    /// Whether both sides agreed on HTTP/2.
    #[cfg(feature = "http2")]
    pub(crate) fn is_http2<T>(stream: &TlsStream<T>) -> bool {
        stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
    }

    /// The stream within TLS, and the names that its client may ask for if it asked for one.
    pub(crate) async fn accept<T>(&self, stream: T) -> io::Result<(TlsStream<T>, Option<Arc<Names>>)>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let current = self.shared.current.load_full();
        let stream = TlsAcceptor::from(current.rustls.clone()).accept(stream).await?;
        let (_, session) = stream.get_ref();
        let names =
            session.server_name().and_then(|name| current.certificates.find(name)).map(Certificate::names);
        Ok((stream, names))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("config", &self.shared.config)
            .field("certificates", &self.shared.current.load().certificates)
            .finish_non_exhaustive()
    }
}

// === impl Current ===

impl Current {
    fn new(
        certificates: Certificates,
        config: &TlsConfig,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, ProxyError> {
        let certificates = Arc::new(certificates);
        let mut rustls = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|cause| ProxyError::config("TLS").with(cause))?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        rustls.alpn_protocols.clone_from(&config.alpn);
        rustls.ticketer = tickets.clone();
        // Tickets keep sessions at the client, and bound what we keep at nothing.
        rustls.session_storage = Arc::new(NoServerSessionStorage {});
        rustls.max_early_data_size = 0;
        Ok(Self { certificates, rustls: Arc::new(rustls) })
    }
}

/// ring, whatever provider the process has installed or not.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
