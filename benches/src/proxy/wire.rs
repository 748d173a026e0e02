//! A connection to the proxy, within TLS or not.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Target, request};

/// One connection.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// How connections to a proxy are opened.
#[derive(Clone, Debug)]
pub(super) struct Opener<'a> {
    target: &'a Target,
    tls: Option<Arc<ClientConfig>>,
}

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// HAProxy wants both in one.
const BOTH: &str = "both.pem";

/// Makes a certificate and its key: elliptic, as most are today.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn certify(folder: &Path) -> anyhow::Result<()> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([request::HOST.to_owned()])?;
    let (cert, key) = (cert.pem(), signing_key.serialize_pem());
    for (name, text) in [(CERTIFICATE, &cert), (KEY, &key), (BOTH, &format!("{cert}{key}"))] {
        std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// A client that believes the certificate in this folder alone, and offers these protocols.
///
/// # Errors
///
/// If there is none.
pub(super) fn client(folder: &Path, alpn: &[&[u8]]) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(CERTIFICATE)).context("no certificate")?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Whose certificate it has to be.
///
/// # Errors
///
/// None: the name is one.
pub(super) fn name() -> anyhow::Result<ServerName<'static>> {
    Ok(ServerName::try_from(request::HOST)?)
}

// === impl Opener ===

impl<'a> Opener<'a> {
    /// # Errors
    ///
    /// If there is no certificate where the target says.
    pub(super) fn new(target: &'a Target) -> anyhow::Result<Self> {
        let tls = target.tls.as_deref().map(|folder| client(folder, &[])).transpose()?;
        Ok(Self { target, tls })
    }

    /// Opens one.
    ///
    /// # Errors
    ///
    /// If the proxy does not take it.
    pub(super) fn open(&self) -> anyhow::Result<Wire> {
        let stream = TcpStream::connect(self.target.addr).context("cannot connect")?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else { return Ok(Wire::Plain(stream)) };
        let mut stream = StreamOwned::new(ClientConnection::new(config.clone(), name()?)?, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).context("no TLS")?;
        }
        Ok(Wire::Tls(Box::new(stream)))
    }
}

// === impl Wire ===

impl Wire {
    /// What the kernel knows.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
