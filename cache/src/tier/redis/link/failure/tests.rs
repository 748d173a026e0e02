//! What an error means.

use ::redis::Value;

use super::*;
use crate::tier::redis::connection::silent;

/// An error as it comes from the wire.
fn error(code: &str) -> RedisError {
    let value = ::redis::parse_redis_value(format!("-{code} words of its own\r\n").as_bytes());
    value.and_then(Value::extract_error).expect_err("an error")
}

#[test]
fn one_command_or_all_of_them() {
    for code in ["WRONGTYPE", "ERR", "NOSCRIPT", "CROSSSLOT", "TRYAGAIN"] {
        let error = error(code);
        assert!(is_about_one(&error) && !refuses_writes(&error), "{code}: {error:?}");
    }
    for code in ["OOM", "MISCONF", "NOREPLICAS"] {
        let error = error(code);
        assert!(is_about_one(&error) && refuses_writes(&error), "{code}: {error:?}");
    }
    let away = ["LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "READONLY", "NOAUTH", "NOPERM", "WRONGPASS"];
    for code in away.into_iter().chain(["MOVED", "ASK", "UNKILLABLE", "EXECABORT", "WHATEVER"]) {
        let error = error(code);
        assert!(!is_about_one(&error) && !refuses_writes(&error), "{code}: {error:?}");
    }
    assert!(!is_about_one(&silent()));
}

/// Whatever Redis says, or whoever stands in for it: a figure has only so many of them.
#[test]
fn a_figure_has_a_word_for_each() {
    for code in ["OOM", "NOPERM", "LOADING", "WRONGTYPE"] {
        assert_eq!(kind(&error(code)), code);
    }
    assert_eq!([kind(&error("WHATEVER")), kind(&error("SECRET"))], ["_OTHER"; 2]);
    let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    assert_eq!(kind(&broken.into()), "connection");
    let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
    assert_eq!(kind(&late.into()), "timeout");
}
