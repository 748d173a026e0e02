//! What it costs to come.

use anyhow::ensure;
use measure::Latency;

use super::Target;
use super::crowd::Crowd;
use super::meter::Meter;
use super::report::Report;
use crate::clock::Instant;

/// Has `count` members come to one room, so many together; `before` are in it.
///
/// # Errors
///
/// If one does not get there, or does not hear what is published then.
pub(super) fn run(target: &Target, count: usize, together: usize, before: usize) -> anyhow::Result<Report> {
    ensure!(count > 0 && together > 0, "nobody comes");
    let mut crowd = Crowd::new(target, "room", 1)?;
    crowd.fill(before)?;
    let mut latency = Latency::with_capacity(count);
    let meter = Meter::start(target.process)?;
    for places in vec![0; count].chunks(together) {
        let started = Instant::now();
        crowd.come(places)?;
        latency.add(started.elapsed());
    }
    let mut report = meter.finish(u64::try_from(count)?)?;
    // Of those who come together it would tell of us.
    report.latency = (together == 1).then(|| latency.percentiles());
    crowd.publisher.publish(std::iter::once(0))?;
    crowd.hear_all(before + count)?;
    Ok(report)
}
