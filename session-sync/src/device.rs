//! Devices, and what is known of the client behind a request.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A device as its user sees it in the list of sessions.
///
/// The id is chosen by the client and kept across sign-ins. It is a label, never a credential.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Device {
    /// The client's own id for this device.
    pub id: String,
    /// What the user calls it, if anything.
    pub name: Option<String>,
    /// `browser`, `phone`, whatever the client says.
    pub kind: Option<String>,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The client's address, as the trusted proxies report it.
    pub ip: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
}

// === impl Device ===

impl Device {
    /// A device; an absent or empty id is drawn, and over-long fields are cut.
    #[must_use]
    pub fn new(id: Option<&str>, name: Option<&str>, kind: Option<&str>) -> Self {
        Self {
            id: id.and_then(|id| clean(id, MAX_ID)).unwrap_or_else(|| Uuid::now_v7().to_string()),
            name: name.and_then(|name| clean(name, MAX_NAME)),
            kind: kind.and_then(|kind| clean(kind, MAX_KIND)),
        }
    }
}

// === impl ClientInfo ===

impl ClientInfo {
    /// Over-long fields are cut.
    #[must_use]
    pub fn new(ip: Option<&str>, user_agent: Option<&str>) -> Self {
        Self {
            ip: ip.and_then(|ip| clean(ip, MAX_IP)),
            user_agent: user_agent.and_then(|agent| clean(agent, MAX_USER_AGENT)),
        }
    }
}

/// The same cut that [`Device::new`] applies, for ids that come alone.
pub(crate) fn clean_id(id: &str) -> Option<String> {
    clean(id, MAX_ID)
}

/// Without control characters (NUL is no text in PostgreSQL), trimmed, at most `limit` characters.
fn clean(text: &str, limit: usize) -> Option<String> {
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(limit).collect();
    (!text.is_empty()).then_some(text)
}

/// A UUID needs 36; twice that leaves room for other schemes.
const MAX_ID: usize = 72;
/// Fits one line of a device list.
const MAX_NAME: usize = 100;
/// One word.
const MAX_KIND: usize = 32;
/// An IPv6 address with a zone.
const MAX_IP: usize = 64;
/// Real user agents stay below 300; longer ones are noise.
const MAX_USER_AGENT: usize = 512;
