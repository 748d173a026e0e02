//! Refresh tokens: 256 random bits, of which the store knows only the SHA-256.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};
use crate::token::seal;

/// A refresh token in clear.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct RefreshToken([u8; 32]);

// === impl RefreshToken ===

impl RefreshToken {
    pub(crate) fn draw() -> Self {
        Self(rand::random())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        // 32 bytes are 43 characters: anything else is not worth decoding.
        if text.len() != 43 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What the store keeps. The token has 256 random bits, so a plain hash cannot be guessed.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }

    /// Seals the successor so that only who holds this token can read it.
    pub(crate) fn seal_successor(&self, session_id: &str, successor: &Self) -> Result<Vec<u8>, Error> {
        seal::seal(&self.sealing_key(session_id)?, session_id.as_bytes(), &successor.0)
    }

    /// Opens what [`seal_successor`](Self::seal_successor) sealed.
    pub(crate) fn open_successor(&self, session_id: &str, sealed: &[u8]) -> Result<Self, Error> {
        let plain = seal::open(&self.sealing_key(session_id)?, session_id.as_bytes(), sealed)?;
        let bytes = plain.try_into().map_err(|_| Error::new(ErrorKind::Crypto))?;
        Ok(Self(bytes))
    }

    fn sealing_key(&self, session_id: &str) -> Result<[u8; 32], Error> {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(session_id.as_bytes()), &self.0)
            .expand(b"tramline refresh successor v1", &mut key)
            .map_err(|_| Error::new(ErrorKind::Crypto))?;
        Ok(key)
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken")
    }
}

#[cfg(test)]
mod tests;
