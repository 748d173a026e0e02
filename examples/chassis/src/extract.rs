//! Extractors whose refusals are the contract's answers.
//!
//! Order in a handler's arguments is the order of the refusals: [`User`](crate::auth::User) first (401, 403),
//! then [`Path`] (404), [`Query`] and [`PageRequest`](crate::page::PageRequest) (422), the body last.

mod json;
mod path;
mod query;

pub use self::json::{BODY_LIMIT, Json, JsonOrDefault};
pub use self::path::Path;
pub use self::query::Query;

use serde_path_to_error::{Path as FieldPath, Segment};

/// Writes serde's path as a JSON pointer (RFC 6901).
fn pointer(path: &FieldPath) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// The field that serde misses: its path is that of the parent, the name stands in the text only.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

#[cfg(test)]
mod tests;
