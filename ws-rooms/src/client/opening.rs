//! What the answer to an upgrade that was refused asks of the client (`protocol/README.md`, «Why»).

use std::time::Duration;

/// What to do after an opening that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Another token, at once.
    Renew,
    /// A new token was refused too.
    Unauthenticated,
    /// This user, or this origin, may not be here.
    Forbidden,
    /// Back off; the server may have said for how long.
    Wait(Option<Duration>),
}

/// What an answer means. `renewed`: the token was new, so another would be refused too. `drawn`, from 0 to 1, spreads
/// over a second those whom the server gave the same whole number.
pub(super) fn judge(status: Option<u16>, retry_after: Option<&str>, renewed: bool, drawn: f64) -> Verdict {
    match status {
        Some(401) if renewed => Verdict::Unauthenticated,
        Some(401) => Verdict::Renew,
        Some(403) => Verdict::Forbidden,
        Some(429 | 503) => Verdict::Wait(retry_after.and_then(seconds).map(|seconds| {
            let millis = (drawn * 1_000.0).round() / 1_000.0;
            Duration::from_secs(seconds).saturating_add(Duration::from_secs_f64(millis))
        })),
        // 426 too: nothing was wrong but the handshake, so something on the way does not let it through.
        _ => Verdict::Wait(None),
    }
}

/// RFC 9110, 10.2.3. A date would need the server's clock, and then backing off does as well.
fn seconds(retry_after: &str) -> Option<u64> {
    let digits = !retry_after.is_empty() && retry_after.bytes().all(|byte| byte.is_ascii_digit());
    // What does not fit is too long in any case.
    digits.then(|| retry_after.parse().unwrap_or(u64::from(u32::MAX)))
}
