//! Errors, and what they say about Redis.

use ::redis::RedisError;

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::tier::redis) enum Failure {
    Away,
    /// Redis is well, and refuses this one.
    Refused(RedisError),
}

pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// Redis is well, and this one command is not: no reason to go without it.
///
/// All others are: no connection, no answer, no rights (`NOPERM`, `NOAUTH`: each call would cost a trip for nothing), not
/// ready (`LOADING`, `MASTERDOWN`, `CLUSTERDOWN`, `BUSY`), a replica (`READONLY`: the name may lead to another by now,
/// which only a new connection finds out), and one that sends us on to where the driver has been and came to nothing
/// (`MOVED`, `ASK`: a replica says so of its master until it takes its place, and what that one lost has to be told again).
pub(super) fn is_about_one(error: &RedisError) -> bool {
    matches!(error.code(), Some("WRONGTYPE" | "ERR" | "NOSCRIPT" | "CROSSSLOT" | "TRYAGAIN"))
        || refuses_writes(error)
}

/// A cluster moves the slot, has one of the names here and another one over there, and answers so until it is done.
pub(super) fn is_split(error: &RedisError) -> bool {
    error.code() == Some("TRYAGAIN")
}

/// It is full, or cannot write to its disk or to enough replicas: it may be read. What is ended is told to a full one too;
/// the others take nothing at all, and are left as soon as something has to be ended there.
pub(in crate::tier::redis) fn refuses_writes(error: &RedisError) -> bool {
    matches!(error.code(), Some("OOM" | "MISCONF" | "NOREPLICAS"))
}

/// The word for it in a figure: Redis's own, where it is a known one, so that there are only so many.
pub(super) fn kind(error: &RedisError) -> &'static str {
    const KNOWN: [&str; 19] = [
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "CROSSSLOT",
        "ERR",
        "EXECABORT",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOPERM",
        "NOREPLICAS",
        "NOSCRIPT",
        "OOM",
        "READONLY",
        "TRYAGAIN",
        "WRONGPASS",
        "WRONGTYPE",
    ];
    match error.code() {
        Some(code) => KNOWN.into_iter().find(|known| *known == code).unwrap_or("_OTHER"),
        None if error.is_timeout() => "timeout",
        None if error.is_io_error() || error.is_connection_dropped() => "connection",
        None => "_OTHER",
    }
}

#[cfg(test)]
mod tests;
