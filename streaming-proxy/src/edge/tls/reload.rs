//! New certificates in place of old ones, if they can be used.

use crate::edge::tls::{Certificates, Tls};
use crate::error::{BoxError, ProxyError};

impl Tls {
    /// Serves what `load` brings, or goes on with what it has when that fails: then the failure is logged and returned,
    /// for whoever asked.
    ///
    /// To be called when the trigger comes: a signal, a timer, a watch on files. `load` may block; a caller on a
    /// runtime's thread calls this inside `spawn_blocking`. Counted in `streaming_proxy.tls.reloads`, by `result`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with what `load` failed with as its source.
    pub fn reload<E>(&self, load: impl FnOnce() -> Result<Certificates, E>) -> Result<(), ProxyError>
    where
        E: Into<BoxError>,
    {
        let result = load()
            .map_err(|cause| ProxyError::config("the certificates cannot be used").with(cause))
            .and_then(|certificates| self.set_certificates(certificates));
        let label = if result.is_ok() { "ok" } else { "failed" };
        metrics::counter!("streaming_proxy.tls.reloads", "result" => label).increment(1);
        match &result {
            Ok(()) => tracing::info!(certificates = ?self, "certificates reloaded"),
            Err(error) => {
                let cause = std::error::Error::source(error);
                tracing::error!(cause, "the certificates stay as they are: the new ones cannot be used");
            }
        }
        result
    }
}
