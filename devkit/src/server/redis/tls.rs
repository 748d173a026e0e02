//! What a Redis needs that speaks TLS.

use std::sync::Arc;

use crate::scratch::Scratch;

/// A certificate and its key, as files for as long as a server may start again.
#[derive(Debug)]
pub(super) struct Tls {
    files: Scratch,
}

// === impl Tls ===

impl Tls {
    pub(super) fn new(certificate: &str, key: &str) -> anyhow::Result<Arc<Self>> {
        let files = Scratch::new("redis-tls", None)?;
        std::fs::write(files.path().join(CERTIFICATE), certificate)?;
        std::fs::write(files.path().join(KEY), key)?;
        Ok(Arc::new(Self { files }))
    }

    /// What it is to be told. Servers speak so among themselves, too.
    pub(super) fn settings(&self, port: u16) -> Vec<(&'static str, String)> {
        let file = |name| self.files.path().join(name).to_string_lossy().into_owned();
        vec![
            ("tls-port", port.to_string()),
            ("tls-cert-file", file(CERTIFICATE)),
            ("tls-key-file", file(KEY)),
            // It vouches for itself.
            ("tls-ca-cert-file", file(CERTIFICATE)),
            ("tls-auth-clients", "no".to_owned()),
            ("tls-replication", "yes".to_owned()),
            ("tls-cluster", "yes".to_owned()),
        ]
    }
}

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
