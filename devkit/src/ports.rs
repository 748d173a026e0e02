//! Loopback ports that no other test process of this machine uses.

use std::fs::{File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, bail};
use rand::RngExt;

/// Where servers listen: below the range from which Linux and macOS draw the ports of outgoing
/// connections (32768 and 49152 up), since one of those would take a stopped server's place.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The distribution port of a RabbitMQ that the system may run.
const SYSTEM_RABBITMQ: u16 = 25_672;

/// A port that is ours until dropped, also while nothing listens there.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// Locked; the kernel unlocks it when the process ends, however it ends. A port that the user
    /// named has none.
    _lock: Option<File>,
}

// === impl Port ===

impl Port {
    /// Finds a free port and reserves it.
    pub(crate) fn reserve() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join("devkit-ports");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Shared by all users of the machine; it fails where another user made the folder.
        let _ = std::fs::set_permissions(&folder, Permissions::from_mode(0o1777));
        let start = rand::rng().random_range(0..COUNT);
        for step in 0..COUNT {
            let number = FIRST + (start + step) % COUNT;
            if number == SYSTEM_RABBITMQ {
                continue;
            }
            let path = folder.join(number.to_string());
            // Another user's file cannot be written, but locked all the same.
            let opened = File::options().create(true).append(true).open(&path).or_else(|_| File::open(&path));
            let Ok(lock) = opened else { continue };
            if lock.try_lock().is_ok() && is_free(number) {
                return Ok(Self { number, _lock: Some(lock) });
            }
        }
        bail!("no free port from {FIRST} on")
    }

    /// This very port, free or not.
    pub(crate) fn fixed(number: u16) -> Self {
        Self { number, _lock: None }
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
