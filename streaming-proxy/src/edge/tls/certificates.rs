//! Certificates, and which one a client gets.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::edge::tls::names::Names;
use crate::edge::tls::provider;
use crate::error::ProxyError;

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Arc<Names>,
}

/// The certificates of a listener. At least one.
#[derive(Clone)]
pub struct Certificates {
    all: Vec<Certificate>,
    /// By names and wildcards as they are written, in lower case: the place in `all`.
    by_name: HashMap<Box<str>, usize>,
}

// === impl Certificate ===

impl Certificate {
    /// A chain in PEM, the server's certificate first, and its key (PKCS #8, PKCS #1 or SEC1).
    ///
    /// Whether it is valid at this time, and whether a client trusts it, is not looked at: clients do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if one of them does not parse, if the key is another's, or if
    /// the certificate names no host.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, ProxyError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| ProxyError::config("not a chain of certificates in PEM").with(cause))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|cause| ProxyError::config("not a private key in PEM").with(cause))?;
        let first = chain.first().ok_or_else(|| ProxyError::config("no certificate"))?;
        let names = Names::of(first)?;
        let key = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|cause| ProxyError::config("a certificate and a key that do not fit").with(cause))?;
        Ok(Self { key: Arc::new(key), names: Arc::new(names) })
    }

    pub(crate) fn names(&self) -> Arc<Names> {
        self.names.clone()
    }
}

impl fmt::Debug for Certificate {
    // Names only: beside them is a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).finish_non_exhaustive()
    }
}

// === impl Certificates ===

impl Certificates {
    /// These certificates. The first is for clients that say no name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is none.
    pub fn new(certificates: impl IntoIterator<Item = Certificate>) -> Result<Self, ProxyError> {
        let all: Vec<_> = certificates.into_iter().collect();
        if all.is_empty() {
            return Err(ProxyError::config("no certificate"));
        }
        let mut by_name = HashMap::new();
        for (place, certificate) in all.iter().enumerate() {
            for name in certificate.names.iter() {
                by_name.entry(name.into()).or_insert(place);
            }
        }
        Ok(Self { all, by_name })
    }

    /// The certificate for a host. `name` is in lower case, as rustls gives it.
    pub(crate) fn find(&self, name: &str) -> Option<&Certificate> {
        let wildcard = || self.by_name.get(Names::wildcard_for(name)?.as_str());
        let place = self.by_name.get(name).or_else(wildcard)?;
        self.all.get(*place)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = match client.server_name() {
            Some(name) => self.find(name),
            None => self.all.first(),
        };
        found.map(|certificate| certificate.key.clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.all).finish()
    }
}

#[cfg(test)]
mod tests;
