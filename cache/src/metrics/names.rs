//! What the figures are called: OpenTelemetry's way, without units and kinds. Who exposes them adds those.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// By `cache` and `from`.
pub(crate) const REQUESTS: &str = "cache.requests";
pub(crate) const LOADS: &str = "cache.loads";
pub(crate) const LOAD_ERRORS: &str = "cache.load.errors";
/// By `cache` and, of those that failed, `error.type`.
pub(crate) const LOAD_DURATION: &str = "cache.load.duration";
pub(crate) const REFRESHES: &str = "cache.refreshes";
pub(crate) const FOLLOWERS: &str = "cache.followers";
pub(crate) const LEASE_WAITS: &str = "cache.lease.waits";
pub(crate) const INVALIDATIONS: &str = "cache.invalidations";
pub(crate) const REFUSED: &str = "cache.refused";
/// By `cache` and `reason`.
pub(crate) const UNUSABLE: &str = "cache.unusable";
/// By `cache` and `direction`.
pub(crate) const IO: &str = "cache.io";
pub(crate) const WEIGHT: &str = "cache.weight";
pub(crate) const ENTRIES: &str = "cache.entries";

// Of the stores.
pub(crate) const REDIS_ERRORS: &str = "cache.redis.errors";
pub(crate) const FLUSHES: &str = "cache.flushes";
pub(crate) const TAG_INVALIDATIONS: &str = "cache.tag.invalidations";
pub(crate) const DETACHED: &str = "cache.detached";
pub(crate) const LOADING: &str = "cache.loading";
pub(crate) const PENDING: &str = "cache.pending";

// Of Redis, by the conventions for databases.
/// By `db.operation.name` and, of those that failed, `error.type`.
#[cfg(feature = "redis")]
pub(crate) const OPERATION_DURATION: &str = "db.client.operation.duration";

// Of the layer for HTTP.
/// By `cache` and `reason`.
#[cfg(feature = "tower")]
pub(crate) const HTTP_NOT_KEPT: &str = "cache.http.not_kept";
#[cfg(feature = "tower")]
pub(crate) const HTTP_PASSED_BY: &str = "cache.http.passed_by";

pub(super) fn describe_cache() {
    describe_counter!(REQUESTS, Unit::Count, "Questions by where the answer came from");
    describe_counter!(LOADS, Unit::Count, "Loads begun");
    describe_counter!(LOAD_ERRORS, Unit::Count, "Loads that failed, panicked or took too long");
    describe_histogram!(LOAD_DURATION, Unit::Seconds, "What loads take, waiting for a place included");
    describe_counter!(REFRESHES, Unit::Count, "Loads that renewed what was still fresh");
    describe_counter!(FOLLOWERS, Unit::Count, "Callers that joined another one's question");
    describe_counter!(LEASE_WAITS, Unit::Count, "Waits for another process that loads the same");
    describe_counter!(INVALIDATIONS, Unit::Count, "Invalidations of keys and whole caches, own and heard");
    describe_counter!(REFUSED, Unit::Count, "Answers not kept: ended while they were loaded");
    describe_counter!(UNUSABLE, Unit::Count, "Values that cannot be read or written, or are too large");
    describe_counter!(IO, Unit::Bytes, "Encoded bytes from and to the shared tier");
    describe_gauge!(WEIGHT, Unit::Bytes, "Weight of the entries in memory");
    describe_gauge!(ENTRIES, Unit::Count, "Entries in memory");
}

pub(super) fn describe_store() {
    describe_counter!(REDIS_ERRORS, Unit::Count, "Calls to Redis that failed");
    describe_counter!(FLUSHES, Unit::Count, "Times that memory was forgotten as a whole");
    describe_counter!(TAG_INVALIDATIONS, Unit::Count, "Tags that were ended, own and heard");
    let detached = "Stores that do not hear the invalidations of other processes for now";
    describe_gauge!(DETACHED, Unit::Count, detached);
    describe_gauge!(LOADING, Unit::Count, "Loads that run");
    describe_gauge!(PENDING, Unit::Count, "Invalidations that Redis has not heard yet");
}

#[cfg(feature = "redis")]
pub(crate) fn describe_redis() {
    describe_histogram!(OPERATION_DURATION, Unit::Seconds, "Trips to Redis, by what was asked");
}

#[cfg(feature = "tower")]
pub(super) fn describe_http() {
    describe_counter!(HTTP_NOT_KEPT, Unit::Count, "Answers of HTTP services that were not kept");
    describe_counter!(HTTP_PASSED_BY, Unit::Count, "Requests that a rule names, and that were not cached");
}
