//! The chain of the audit log: each hash is over the one before and the entry's bytes as they are stored.

use contracts::ResourceType;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The hash of one link.
pub(crate) type Hash = [u8; 32];

/// What is hashed, and stored to the letter; its fields stand in this order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry<'a> {
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) event_id: &'a str,
    pub(crate) action: &'a str,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) resource_type: ResourceType,
    pub(crate) resource_id: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) details: &'a Map<String, Json>,
}

/// The link after `previous`.
pub(crate) fn link(previous: &[u8], entry: &str) -> Hash {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(entry.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn a_link_depends_on_all_before_it() {
        let first = link(&[0; 32], "a");
        assert_eq!(first, link(&[0; 32], "a"));
        assert_ne!(first, link(&[0; 32], "b"));
        assert_ne!(link(&first, "c"), link(&link(&[0; 32], "b"), "c"));
    }
}
