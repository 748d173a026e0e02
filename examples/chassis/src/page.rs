//! Lists: a limit, an opaque cursor, `{"items":[…],"nextCursor":…}`.

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::extract::Query;
use crate::problem::Problem;

/// An extractor: which part of a list is asked for (`limit`, `cursor`).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PageRequest {
    /// How many items, 1 to 100.
    pub limit: u32,
    /// The cursor as it came; [`PageRequest::after`] reads it.
    cursor: Option<String>,
}

/// A part of a list, as it is answered.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next part begins, when there is more.
    pub next_cursor: Option<String>,
}

/// Without `limit`: one screen.
const DEFAULT_LIMIT: u32 = 20;
/// The contract's largest.
const MAX_LIMIT: u32 = 100;
/// No cursor of ours is longer; a longer one is not worth decoding.
const MAX_CURSOR: usize = 1024;
/// Bytes of the check: it finds typing faults and cursors of other lists, and guards no secret. A cursor
/// only says where to go on; what may be seen is decided by the query.
const CHECK: usize = 6;

// === impl PageRequest ===

impl PageRequest {
    /// The first `limit` items.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { limit: limit.clamp(1, MAX_LIMIT), cursor: None }
    }

    /// The position to go on from, as [`Page::new`] put it into the cursor; `None` for the first part.
    ///
    /// `list` names the list and everything that fixes its order and filter, so that a cursor of another list
    /// is refused.
    ///
    /// # Errors
    ///
    /// 422 with the pointer `?cursor`.
    pub fn after<K: DeserializeOwned>(&self, list: &str) -> Result<Option<K>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let bad = || Problem::invalid("?cursor", "is no cursor of this list");
        if cursor.len() > MAX_CURSOR {
            return Err(bad());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
        let (sum, key) = bytes.split_at_checked(CHECK).ok_or_else(bad)?;
        if sum != check(list, key) {
            return Err(bad());
        }
        serde_json::from_slice(key).map(Some).map_err(|_| bad())
    }

    /// How many rows to ask the database for: one more than the limit tells whether there is more.
    #[must_use]
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

impl<S: Sync> FromRequestParts<S> for PageRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Params {
            limit: Option<u32>,
            cursor: Option<String>,
        }
        let params: Params = Query::from_text(parts.uri.query().unwrap_or_default())?;
        let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::invalid("?limit", "must be 1 to 100"));
        }
        let page = Self { limit, cursor: params.cursor };
        if page.cursor.as_ref().is_some_and(|c| URL_SAFE_NO_PAD.decode(c).is_err()) {
            return Err(Problem::invalid("?cursor", "is no cursor of this list"));
        }
        Ok(page)
    }
}

// === impl Page ===

impl<T> Page<T> {
    /// Makes a page of the rows that a query with [`PageRequest::fetch`] as its limit gave; `key` gives the
    /// position of an item.
    pub fn new<K: Serialize>(
        request: &PageRequest,
        list: &str,
        mut rows: Vec<T>,
        key: impl FnOnce(&T) -> K,
    ) -> Self {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more { rows.last().map(|row| cursor(list, &key(row))) } else { None };
        Self { items: rows, next_cursor }
    }

    /// The page with other items in the same places.
    pub fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(item).collect(), next_cursor: self.next_cursor }
    }

    /// A whole list that has no more parts.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

fn cursor<K: Serialize>(list: &str, key: &K) -> String {
    let key = serde_json::to_vec(key).unwrap_or_default();
    let mut bytes = check(list, &key).to_vec();
    bytes.extend_from_slice(&key);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn check(list: &str, key: &[u8]) -> [u8; CHECK] {
    let mut sum = Sha256::new();
    sum.update(list.as_bytes());
    sum.update([0]);
    sum.update(key);
    let mut check = [0; CHECK];
    check.copy_from_slice(&sum.finalize()[..CHECK]);
    check
}

impl<T: Serialize> axum::response::IntoResponse for Page<T> {
    fn into_response(self) -> axum::response::Response {
        axum::Json(self).into_response()
    }
}

#[cfg(test)]
mod tests;
