//! Where the system keeps its files: four databases, the key, the webhook secret, and the lock that says whose they are.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chassis::config::Secret;
use tempfile::TempDir;
use tramline_session_sync::KeyFile;

/// The folder, held by this process alone.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held, not read: the lock goes with it.
    _lock: File,
    /// Removed with the process, when nothing is to be kept.
    _temporary: Option<TempDir>,
}

impl Folder {
    /// Opens the folder, or a temporary one.
    ///
    /// # Errors
    ///
    /// It cannot be made, or another process has it.
    pub fn open(data: Option<&Path>) -> io::Result<Self> {
        let (path, temporary) = match data {
            Some(path) => {
                private_folder(path)?;
                (path.canonicalize()?, None)
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("tramline-").tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let lock = File::create(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another process has {}", path.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self { path, _lock: lock, _temporary: temporary })
    }

    /// The URL of a database in it.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        format!("sqlite:{}", self.path.join(format!("{name}.db")).display())
    }

    /// The key file, made the first time.
    ///
    /// # Errors
    ///
    /// It can be neither read nor made.
    pub fn key_file(&self) -> Result<KeyFile, tramline_session_sync::Error> {
        KeyFile::load_or_create(&self.path.join("jwt.key"))
    }

    /// The demo provider's secret, drawn the first time.
    ///
    /// # Errors
    ///
    /// It can be neither read nor made.
    pub fn webhook_secret(&self) -> io::Result<Secret> {
        let path = self.path.join("psp-webhook.secret");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Secret::new(text.trim())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let drawn = hex::encode(rand::random::<[u8; 24]>());
                write_secret(&path, &drawn)?;
                Ok(Secret::new(drawn))
            }
            Err(error) => Err(error),
        }
    }
}

/// Makes the folder where there is none, its owner's alone: password hashes and sealed keys are in its files. One that
/// is there stays as its owner made it.
fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a file that only its owner reads, whole or not at all: half a secret would be kept for ever.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    // What a killed process left half-written is removed first, so that the mode is ours.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => options.write(true).create_new(true),
    };
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests;
