//! Events at a steady rate.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::ensure;
use measure::Latency;

use super::Target;
use super::crowd::Crowd;
use super::meter::Meter;
use super::report::Report;
use super::sources::SILENCE;
use crate::clock::Instant;

/// Events that not all members have.
#[derive(Default)]
struct UnderWay {
    /// The number of the oldest.
    first: u64,
    events: VecDeque<(Instant, usize)>,
}

/// Runs it.
///
/// # Errors
///
/// If any member does not get an event.
pub(super) fn run(
    target: &Target,
    members: usize,
    rate: u32,
    warmup: Duration,
    measured: Duration,
) -> anyhow::Result<Report> {
    ensure!(members > 0 && rate > 0, "nobody hears anything");
    let mut crowd = Crowd::new(target, "room", 1)?;
    crowd.fill(members)?;
    let pause = Duration::from_secs(1).mul_f64(f64::from(u32::try_from(members)?) / f64::from(rate));
    turn(&mut crowd, pause, warmup)?;
    let meter = Meter::start(target.process)?;
    let latency = turn(&mut crowd, pause, measured)?;
    let mut report = meter.finish(u64::try_from(latency.len() * members)?)?;
    report.latency = Some(latency.percentiles());
    Ok(report)
}

/// Publishes for so long, and hears all of it.
fn turn(crowd: &mut Crowd<'_>, pause: Duration, time: Duration) -> anyhow::Result<Latency> {
    let members = crowd.len();
    let mut latency = Latency::default();
    let mut under_way = UnderWay::default();
    let started = Instant::now();
    let mut due = started;
    let mut silent_since = started;
    loop {
        let now = Instant::now();
        let over = due.duration_since(started) >= time;
        if over && under_way.events.is_empty() {
            return Ok(latency);
        }
        if !over && now >= due {
            // From when it was due: a server that keeps us from publishing gains nothing by that.
            under_way.publish(crowd.publisher.publish(std::iter::once(0))?, due, members);
            due += pause;
            continue;
        }
        let until = if over { now + SILENCE } else { due };
        let any = crowd.hear(until, |_, number| {
            if let Some(taken) = under_way.heard(number) {
                latency.add(taken);
            }
        })?;
        if any || under_way.events.is_empty() {
            silent_since = Instant::now();
        }
        ensure!(silent_since.elapsed() < SILENCE, "{} events did not come to all", under_way.events.len());
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn publish(&mut self, number: u64, at: Instant, members: usize) {
        if self.events.is_empty() {
            self.first = number;
        }
        self.events.push_back((at, members));
    }

    /// One more member has this one; how long it took when that was the last.
    fn heard(&mut self, number: u64) -> Option<Duration> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let (at, missing) = self.events.get_mut(index)?;
        *missing -= 1;
        let taken = (*missing == 0).then(|| at.elapsed());
        while self.events.front().is_some_and(|(_, missing)| *missing == 0) {
            self.events.pop_front();
            self.first += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_come_with_its_last_member() {
        let mut under_way = UnderWay::default();
        let at = Instant::now();
        under_way.publish(7, at, 2);
        under_way.publish(8, at, 2);
        assert!(under_way.heard(7).is_none());
        assert!(under_way.heard(8).is_none());
        assert!(under_way.heard(8).is_some(), "also before the one before it");
        assert!(under_way.heard(7).is_some());
        assert!(under_way.events.is_empty());
        under_way.publish(9, at, 1);
        assert!(under_way.heard(9).is_some());
    }
}
