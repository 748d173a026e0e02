//! The key file: what seals the stored signing keys, and the first of them.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The contents of a key file. All replicas of an issuer hold the same one.
#[derive(Clone)]
pub struct KeyFile {
    pub(crate) sealing: [u8; 32],
    pub(crate) first: [u8; 32],
}

#[derive(Deserialize, Serialize)]
struct Text {
    version: u32,
    sealing_key: String,
    first_signing_key: String,
}

// === impl KeyFile ===

impl KeyFile {
    /// Draws new keys.
    #[must_use]
    pub fn generate() -> Self {
        Self { sealing: rand::random(), first: rand::random() }
    }

    /// Reads the contents of a key file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyFile`] when it is no key file of a known version.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text: Text =
            serde_json::from_str(text).map_err(|error| Error::with(ErrorKind::KeyFile, error))?;
        if text.version != VERSION {
            return Err(Error::with(ErrorKind::KeyFile, "unknown version"));
        }
        Ok(Self { sealing: key(&text.sealing_key)?, first: key(&text.first_signing_key)? })
    }

    /// The contents of a key file: secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = serde_json::json!({
            "version": VERSION,
            "sealing_key": URL_SAFE_NO_PAD.encode(self.sealing),
            "first_signing_key": URL_SAFE_NO_PAD.encode(self.first),
        });
        format!("{text}\n")
    }

    /// Reads the key file at `path`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyFile`] when it cannot be read or is no key file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::with(ErrorKind::KeyFile, error))?;
        Self::parse(&text)
    }

    /// Reads the key file at `path`, or makes it, readable by its owner alone.
    ///
    /// Two processes that start together agree: the file appears whole or not at all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyFile`] when it can be neither read nor made.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::with(ErrorKind::KeyFile, error);
        if path.exists() {
            return Self::load(path);
        }
        let made = Self::generate();
        let draft = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&draft).and_then(|mut file| {
            file.write_all(made.to_text().as_bytes())?;
            file.sync_all()
        });
        // A hard link fails when the name is taken, so the first of two processes wins.
        let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
        // The draft has served, whatever became of it.
        let _ = std::fs::remove_file(&draft);
        match linked {
            Ok(()) => Ok(made),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::load(path),
            Err(error) => Err(failed(error)),
        }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFile")
    }
}

fn key(text: &str) -> Result<[u8; 32], Error> {
    URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::with(ErrorKind::KeyFile, "a key is not 32 bytes of base64url"))
}

/// The only layout so far.
const VERSION: u32 = 1;
