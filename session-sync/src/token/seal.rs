//! AES-256-GCM sealing of small secrets.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};

use crate::error::{Error, ErrorKind};

/// Seals `plain` for `label`; the random nonce comes first.
pub(crate) fn seal(key: &[u8; 32], label: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let nonce: [u8; NONCE] = rand::random();
    let sealed = Aes256Gcm::new(key.into())
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: label })
        .map_err(|_| Error::new(ErrorKind::Crypto))?;
    Ok([&nonce[..], &sealed].concat())
}

/// Opens what [`seal`] sealed under the same key and label.
pub(crate) fn open(key: &[u8; 32], label: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or_else(|| Error::new(ErrorKind::Crypto))?;
    Aes256Gcm::new(key.into())
        .decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: label })
        .map_err(|_| Error::new(ErrorKind::Crypto))
}

/// GCM's standard nonce, 96 bits.
const NONCE: usize = 12;
