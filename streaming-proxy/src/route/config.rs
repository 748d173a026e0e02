//! A table of routes as data: in TOML, or any format that serde has.
//!
//! ```toml
//! [upstreams.users]
//! addresses = ["10.0.0.1:8080", "10.0.0.2:8080"]
//! connect_timeout = "500ms"
//! balance = "fastest"          # or round_robin, client, header:NAME, cookie:NAME
//! health_check = { path = "/readyz" }
//! adaptive_limit = true
//!
//! [upstreams.shop]
//! from = "SHOP_URL"            # what the program says that this is: addresses, separated by commas
//!
//! [[routes]]
//! name = "shop"                # or none: its path
//! host = "*.shop.example"      # or none: any
//! prefix = "/api"              # or path = "/api", or pattern = "/users/{id}/{*rest}"
//! methods = ["GET", "POST"]    # or none: all
//! headers = { x-beta = true, x-tenant = "a" }
//! strip = "/api"               # then add = "/v2"; or template = "/v2/{id}/{*rest}"
//! upstream = "shop"
//! timeouts = { response_header = "5s", total = "off" }
//! encoded_slashes = false
//! answers = { locations = true, cookie_paths = false, cookie_domain = "remove", strip_cors = false }
//! priority = "high"            # or critical; or normal, as without
//! retry = { attempts = 2, statuses = [503] }
//! ```
//!
//! Numbers and times that are not there have the defaults of [`UpstreamConfig`](crate::UpstreamConfig) and
//! [`Timeouts`](crate::config::Timeouts), whose names they have. Times have a unit: `ms`, `s`, `m`, `h`.

mod build;
mod error;
mod read;
mod times;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{HttpVersion, Priority};

pub use crate::route::config::error::{Fault, TableError};
pub use crate::route::config::times::{Limit, Time};

/// A table. What its entries mean, and whether they fit together, is found out by
/// [`build`](Self::build).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TableConfig {
    /// The upstreams by their names, which are their labels in metrics.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub upstreams: BTreeMap<String, UpstreamEntry>,
    /// The routes, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteEntry>,
}

/// One upstream: its addresses, or a name for them, and what differs from the defaults.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of `UpstreamConfig`, which says what they are")]
pub struct UpstreamEntry {
    /// Its addresses, as `host:port`, `http://host:port` or `https://host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// In place of them, a name that the program has addresses for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `negotiated`, `http1` or `http2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<HttpVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_every: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_idle: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsafe_reuse_within: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_waiting: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tunnels: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avoid: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avoid_max: Option<Time>,
    /// One of the texts of [`Balance`](crate::config::Balance).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_errors: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ejected: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_limit: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<BudgetEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<CheckEntry>,
}

/// What differs from the default [`RetryBudget`](crate::config::RetryBudget).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of `RetryBudget`, which says what they are")]
pub struct BudgetEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
}

/// A [`HealthCheck`](crate::config::HealthCheck), and what of it differs from the defaults.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of `HealthCheck`, which says what they are")]
pub struct CheckEntry {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<u32>,
}

/// One [`Route`](crate::Route), with exactly one of `path`, `prefix` and `pattern`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteEntry {
    /// See [`Route::name`](crate::Route::name).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`Route::host`](crate::Route::host).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// See [`PathMatch::Exact`](crate::route::PathMatch::Exact).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// See [`PathMatch::Prefix`](crate::route::PathMatch::Prefix).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// See [`PathMatch::Pattern`](crate::route::PathMatch::Pattern).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// See [`Route::methods`](crate::Route::methods).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// See [`Route::headers`](crate::Route::headers).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderEntry>,
    /// See [`Rewrite::Replace`](crate::route::Rewrite::Replace).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip: Option<String>,
    /// See [`Rewrite::Replace`](crate::route::Rewrite::Replace).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
    /// See [`Rewrite::Template`](crate::route::Rewrite::Template).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The name of its upstream in the table.
    pub upstream: String,
    /// See [`Route::encoded_slashes`](crate::Route::encoded_slashes).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encoded_slashes: bool,
    /// See [`Priority`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// When its requests go out again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryEntry>,
    /// Its times.
    #[serde(skip_serializing_if = "TimeoutsEntry::is_empty")]
    pub timeouts: TimeoutsEntry,
    /// What of its answers is written anew.
    #[serde(skip_serializing_if = "AnswersEntry::is_empty")]
    pub answers: AnswersEntry,
}

/// What differs from the default [`Retries`](crate::config::Retries).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of `Retries`, which says what they are")]
pub struct RetryEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
}

/// What a field of a request must be.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(clippy::exhaustive_enums, reason = "a value in the table is one of two types")]
pub enum HeaderEntry {
    /// `true`: there.
    Present(bool),
    /// This, and nothing else.
    Equal(String),
}

/// What differs from the default [`Timeouts`](crate::config::Timeouts).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of `Timeouts`, which says what they are")]
pub struct TimeoutsEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_header: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_idle: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_idle: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_continue: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Limit>,
}

/// What differs from the default [`Answers`](crate::config::Answers).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of `Answers`, which says what they are")]
pub struct AnswersEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locations: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_paths: Option<bool>,
    /// `keep`, `remove`, or a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_cors: Option<bool>,
}

// === impl AnswersEntry ===

impl AnswersEntry {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// === impl TimeoutsEntry ===

impl TimeoutsEntry {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests;
