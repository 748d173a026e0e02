//! Clocks.

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

#[expect(
    clippy::disallowed_types,
    reason = "a load program measures the real clock, in programs without tokio too"
)]
use std::time::Instant;

use crate::report::Report;

/// Wall clock and CPU time of one measured section.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "a load program measures the real clock")]
pub struct Meter {
    started: Instant,
    /// Of this process, user and system, in µs.
    own: u64,
    broker: Option<(u32, u64)>,
}

// === impl Meter ===

impl Meter {
    /// Begins the section. `broker` is the broker's process id, when its CPU time is wanted too.
    ///
    /// # Errors
    ///
    /// If the clocks cannot be read.
    #[expect(clippy::disallowed_types, reason = "a load program measures the real clock")]
    pub fn start(broker: Option<u32>) -> anyhow::Result<Self> {
        let broker = broker.map(|id| anyhow::Ok((id, of_process(id)?))).transpose()?;
        Ok(Self { own: of_self()?, broker, started: Instant::now() })
    }

    /// Ends the section, in which so many events were handled.
    ///
    /// # Errors
    ///
    /// If the clocks cannot be read.
    pub fn finish(self, events: u64) -> anyhow::Result<Report> {
        let seconds = self.started.elapsed().as_secs_f64();
        let client_us = of_self()? - self.own;
        let broker_us = self.broker.map(|(id, before)| anyhow::Ok(of_process(id)? - before)).transpose()?;
        Ok(Report { events, seconds, client_us, broker_us, ..Report::default() })
    }
}

/// CPU time of this process, ended threads included, in µs.
fn of_self() -> anyhow::Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?;
    let us = |time: TimeVal| u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(us(usage.user_time())? + us(usage.system_time())?)
}

/// CPU time of another process, in µs, in steps of 10 ms.
fn of_process(id: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).context("the broker's /proc/…/stat")?;
    // The second field, the name, is in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no stat line")?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut next = || anyhow::Ok(fields.next().context("a short stat line")?.parse::<u64>()?);
    Ok((next()? + next()?) * TICK_US)
}

/// `USER_HZ`, which is 100 on Linux whatever the kernel's own clock.
const TICK_US: u64 = 10_000;
