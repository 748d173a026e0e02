//! Finds the programs of the servers.

use std::path::{Path, PathBuf};

use nix::unistd;

use crate::process::User;

/// Folders beside `PATH` where distributions put servers.
const FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/homebrew/sbin"];

/// A program of this name in `PATH`, or where servers usually are.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// RabbitMQ's own start script. Debian's wrapper in `PATH` would change the user.
pub(crate) fn rabbitmq() -> Option<PathBuf> {
    let own = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    if own.is_file() { Some(own) } else { find("rabbitmq-server") }
}

/// A program of the newest PostgreSQL. Debian keeps them off `PATH`.
pub(crate) fn postgres(name: &str) -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin").join(name)))
        })
        .filter(|(_, program)| program.is_file())
        .collect();
    versions.sort();
    versions.pop().map(|(_, program)| program).or_else(|| find(name))
}

/// A browser that devtools drive.
pub(crate) fn chromium() -> Option<PathBuf> {
    let mac = PathBuf::from("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .iter()
        .find_map(|name| find(name))
        .or_else(|| mac.is_file().then_some(mac))
}

/// Whom PostgreSQL runs as: itself refuses root.
pub(crate) fn postgres_user() -> Option<User> {
    if !unistd::geteuid().is_root() {
        return None;
    }
    ["postgres", "nobody"].iter().find_map(|name| {
        let user = unistd::User::from_name(name).ok().flatten()?;
        Some(User { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    })
}

/// Whether all of them are there.
pub(crate) fn all(paths: &[Option<impl AsRef<Path>>]) -> bool {
    paths.iter().all(Option::is_some)
}
