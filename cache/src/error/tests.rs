//! What callers may do about an error.

use super::*;

#[test]
fn what_may_be_asked_again_is_what_did_not_fail_by_itself() {
    let new = |kind| Error::new(kind, "");
    let outer = |source: Error| Error::with_source(ErrorKind::Load, "", source);
    let own = Error::with_source(ErrorKind::Load, "", fmt::Error);
    let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
    let table = [
        ("its time was over", new(ErrorKind::TimedOut), (true, true)),
        ("that of a load inside", outer(new(ErrorKind::TimedOut)), (true, true)),
        ("and deeper", outer(outer(new(ErrorKind::TimedOut))), (true, true)),
        ("another one's load", Error::of_another(), (false, true)),
        ("another one's inside", outer(Error::of_another()), (false, true)),
        ("there is nothing", Error::new(ErrorKind::Load, "there is nothing"), (false, false)),
        ("the load's own", own, (false, false)),
        ("which may be of any kind", Error::with_source(ErrorKind::Load, "", late), (false, false)),
        ("a panic", new(ErrorKind::Panicked), (false, false)),
        ("a configuration", new(ErrorKind::Config), (false, false)),
    ];
    for (what, error, expected) in table {
        assert_eq!((error.is_timeout(), error.is_retryable()), expected, "{what}");
    }
}
