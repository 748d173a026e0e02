//! Members that never read, and what they cost the others.

use std::time::Duration;

use anyhow::ensure;

use super::Target;
use super::crowd::Crowd;
use super::event;
use super::fanout::{Shape, Turns};
use super::queues;
use super::report::Report;

/// Events that are published at once to fill what holds them: fewer bytes than any server cuts a member for that reads.
const TOGETHER: usize = 8;

/// So many are published between two looks at the kernel's buffers.
const LOOK: usize = 32;

/// As many more when the kernel takes nothing: what a server itself lets wait is full with that, by bytes as by frames.
const MORE: usize = 320;

/// A kernel that probes whether a peer has room again may find some for a segment.
const PROBES: u64 = 4 * 1024;

/// Some GiB; no kernel takes as much.
const MOST: usize = 100_000;

/// Runs it: the stuck ones come to their room before the others, so that they alone take part in filling their buffers; they
/// leave when their time has been measured, and the time without them is measured then, of the same members.
///
/// # Errors
///
/// If any other member does not get an event; if a stuck one is closed, or gets anything, while it is measured.
pub(super) fn run(
    target: &Target,
    shape: &Shape,
    stuck: usize,
    warmup: Duration,
    measured: Duration,
) -> anyhow::Result<Report> {
    ensure!(shape.members > 0 && shape.burst > 0 && stuck > 0, "nobody hears anything, or all do");
    let mut crowd = Crowd::new(target, "slow", 1)?;
    // Who hears what the others do not: so it is known when the server has passed it on.
    crowd.fill(1)?;
    crowd.stick(stuck)?;
    let full = fill(&mut crowd)?;
    crowd.fill(shape.members - 1)?;
    let mut turns = Turns::new(shape);
    turns.run(&mut crowd, target, warmup)?;
    let mut report = turns.run(&mut crowd, target, measured)?;
    let still = crowd.waiting()?;
    let got = full.iter().zip(&still).any(|(full, still)| full.saturating_sub(*still) > PROBES);
    ensure!(!got, "a stuck member read after all: {full:?} waited, and then {still:?}");
    crowd.unstick()?;
    turns.run(&mut crowd, target, warmup)?;
    let without = turns.run(&mut crowd, target, measured)?;
    report.without_stuck = Some((without.count, without.cpu_ns));
    report.stuck_kib = Some(queues::mean(&full) / 1024);
    Ok(report)
}

/// Publishes until neither the kernel nor the server takes more for those who are stuck; what the kernel holds for each.
fn fill(crowd: &mut Crowd<'_>) -> anyhow::Result<Vec<u64>> {
    let (mut full, mut still, mut published) = (Vec::new(), 0, 0);
    while still < MORE {
        ensure!(published < MOST, "{} KiB were taken", published * event::BULK / 1024);
        for _ in 0..LOOK / TOGETHER {
            crowd.publisher.publish_bulk(0, TOGETHER)?;
            crowd.hear_all(TOGETHER * crowd.len())?;
        }
        published += LOOK;
        let now = crowd.waiting()?;
        still = if now == full { still + LOOK } else { 0 };
        full = now;
    }
    ensure!(full.iter().all(|bytes| *bytes > 0), "the kernel holds nothing for a member that does not read");
    Ok(full)
}
