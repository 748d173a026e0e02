//! A temporary folder that goes with its handle.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::guardian;
use crate::process::User;

/// A temporary folder, removed when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

// === impl Scratch ===

impl Scratch {
    /// Makes a folder that `user` owns and can reach.
    pub(crate) fn new(name: &str, user: Option<User>) -> anyhow::Result<Self> {
        let path = tempfile::Builder::new()
            .prefix(&format!("devkit-{name}-"))
            .tempdir_in(parent(user))
            .context("cannot make a temporary folder")?
            .keep();
        let scratch = Self { path };
        guardian::watch_folder(&scratch.path).context("the guardian is gone")?;
        if let Some(user) = user {
            chown(&scratch.path, Some(user.uid), Some(user.gid)).context("cannot hand over the folder")?;
        }
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover of a killed server may still be closing files: the guardian tries once more.
        if std::fs::remove_dir_all(&self.path).is_ok() {
            guardian::forget_folder(&self.path);
        }
    }
}

/// The temporary folder, or `/tmp` if another user could not pass through it.
fn parent(user: Option<User>) -> PathBuf {
    let wanted = std::env::temp_dir();
    let open = |path: &Path| path.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 != 0);
    if user.is_none() || wanted.ancestors().all(open) { wanted } else { PathBuf::from("/tmp") }
}
