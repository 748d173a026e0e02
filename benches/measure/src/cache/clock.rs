//! Clocks.

use nix::time::{ClockId, clock_gettime};

#[expect(clippy::disallowed_types, reason = "a load program measures the real clock")]
pub(super) type Instant = std::time::Instant;

/// CPU time of this thread, in ns.
pub(super) fn thread() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of this process, in ns.
pub(super) fn process() -> u64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// A clock that all processes of a machine share, in ns.
pub(super) fn shared() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

fn read(clock: ClockId) -> u64 {
    // Linux has all three.
    let time = clock_gettime(clock).map_or((0, 0), |time| (time.tv_sec(), time.tv_nsec()));
    u64::try_from(time.0 * 1_000_000_000 + time.1).unwrap_or_default()
}
