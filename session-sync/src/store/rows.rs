//! Rows, as the engines keep them. Times are microseconds since the epoch.

use jiff::Timestamp;

use crate::clock::from_micros;
use crate::device::Device;
use crate::session::SessionView;

/// A session, with the name of its device.
#[derive(Clone, Debug)]
pub(crate) struct SessionRow {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) device: Device,
    pub(crate) ip: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) last_seen_at: i64,
    /// When the current refresh token ends: sliding, never after `ends_at`.
    pub(crate) expires_at: i64,
    /// When the session ends whatever happens.
    pub(crate) ends_at: i64,
    /// The generation of the current refresh token.
    pub(crate) generation: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) end_reason: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct DeviceRow {
    pub(crate) user_id: String,
    pub(crate) device: Device,
    pub(crate) seen_at: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct TokenRow {
    pub(crate) hash: Vec<u8>,
    pub(crate) session_id: String,
    pub(crate) generation: i64,
    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite")),
        allow(dead_code, reason = "kept for those who read the tables")
    )]
    pub(crate) created_at: i64,
    pub(crate) superseded_at: Option<i64>,
    /// The successor, sealed under a key that only the token in clear gives.
    pub(crate) sealed: Option<Vec<u8>>,
}

/// What a user's tokens older than `at` are worth.
#[derive(Clone, Debug)]
pub(crate) struct MarkRow {
    pub(crate) user_id: String,
    /// `role`, `suspended` or `deleted`.
    pub(crate) kind: String,
    pub(crate) role: Option<String>,
    pub(crate) at: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct KeyRow {
    pub(crate) kid: String,
    pub(crate) sealed: Vec<u8>,
    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite")),
        allow(dead_code, reason = "kept for those who read the tables")
    )]
    pub(crate) created_at: i64,
    pub(crate) active_at: i64,
    pub(crate) retired_at: Option<i64>,
}

// === impl SessionRow ===

impl SessionRow {
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now.as_microsecond() < self.expires_at
    }

    pub(crate) fn view(&self, current: Option<&str>) -> SessionView {
        SessionView {
            id: self.id.clone(),
            user_id: self.user_id.clone(),
            device: self.device.clone(),
            ip: self.ip.clone(),
            user_agent: self.user_agent.clone(),
            created_at: from_micros(self.created_at),
            last_seen_at: from_micros(self.last_seen_at),
            current: current == Some(&*self.id),
        }
    }
}
