//! The hosts that a certificate is for.

use std::collections::HashSet;
use std::fmt;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::error::ProxyError;

/// The DNS names of a certificate, in lower case; wildcards as they are written (`*.example`).
pub(crate) struct Names {
    names: HashSet<Box<str>>,
}

// === impl Names ===

impl Names {
    /// Those in the certificate's subject alternative names; a common name says nothing (RFC 9525).
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, ProxyError> {
        let parsed = EndEntityCert::try_from(certificate)
            .map_err(|cause| ProxyError::config("not a certificate of a server").with(cause))?;
        let names: HashSet<Box<str>> =
            parsed.valid_dns_names().map(|name| name.to_ascii_lowercase().into()).collect();
        if names.is_empty() {
            return Err(ProxyError::config("a certificate that names no host"));
        }
        Ok(Self { names })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Whether `host` is one of them. It may be in any case, and end with the root's dot.
    pub(crate) fn contains(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let wildcard = || Self::wildcard_for(&host).is_some_and(|name| self.names.contains(name.as_str()));
        // A star is no host, and must not be found under its own spelling.
        !host.starts_with('*') && (self.names.contains(host.as_str()) || wildcard())
    }

    /// The wildcard that `name` falls under: one label is replaced, and never the last but one (RFC 9525, 6.3).
    pub(crate) fn wildcard_for(name: &str) -> Option<String> {
        let (first, rest) = name.split_once('.')?;
        (!first.is_empty() && rest.contains('.')).then(|| format!("*.{rest}"))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.names).finish()
    }
}

#[cfg(test)]
mod tests;
