//! What members cost that have nothing to hear.

use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

use super::Target;
use super::crowd::Crowd;
use super::meter::Meter;
use super::report::Report;
use crate::process;

/// Opens the connections, lets them lie, and looks at the server's memory; keeps them then for `kept`, and looks at its
/// time.
///
/// # Errors
///
/// If a connection does not come, or is not kept.
pub(super) fn run(
    target: &Target,
    connections: usize,
    settle: Duration,
    kept: Duration,
) -> anyhow::Result<Report> {
    let mut crowd = Crowd::new(target, "room", 1)?;
    // What a server makes once, it has made.
    crowd.come(&[0])?;
    let before = process::memory(target.process, "VmRSS")?;
    crowd.fill(connections).with_context(|| most().unwrap_or_default())?;
    crowd.rest(settle)?;
    let meter = Meter::start(target.process)?;
    crowd.rest(kept)?;
    let mut report = meter.finish(u64::try_from(connections)?)?;
    let after = process::memory(target.process, "VmRSS")?;
    report.resident_kib = Some((before, after));
    report.most = Some(most()?);
    // What costs nothing must still be good for something.
    crowd.publisher.publish(std::iter::once(0))?;
    crowd.hear_all(crowd.len())?;
    Ok(report)
}

/// What stops us from more.
fn most() -> anyhow::Result<String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    Ok(format!("open files: {soft} for the load program, and so for the server (hard limit {hard})"))
}
