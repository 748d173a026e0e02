//! Events in a closed loop.

use std::time::Duration;

use anyhow::ensure;

use super::Target;
use super::crowd::Crowd;
use super::meter::Meter;
use super::report::Report;

/// Rooms, members and events.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) rooms: usize,
    /// Of each room.
    pub(super) members: usize,
    /// Events that are published at once.
    pub(super) burst: usize,
}

/// Runs it.
///
/// # Errors
///
/// If any member does not get an event.
pub(super) fn run(
    target: &Target,
    shape: &Shape,
    warmup: Duration,
    measured: Duration,
) -> anyhow::Result<Report> {
    ensure!(shape.rooms > 0 && shape.members > 0 && shape.burst > 0, "nobody hears anything");
    let mut crowd = Crowd::new(target, "room", shape.rooms)?;
    crowd.fill(shape.members)?;
    let mut turns = Turns::new(shape);
    turns.run(&mut crowd, target, warmup)?;
    turns.run(&mut crowd, target, measured)
}

/// One burst after the other.
pub(super) struct Turns<'a> {
    shape: &'a Shape,
    /// The room that is next.
    place: usize,
}

// === impl Turns ===

impl<'a> Turns<'a> {
    pub(super) fn new(shape: &'a Shape) -> Self {
        Self { shape, place: 0 }
    }

    /// For so long; not at all for no time.
    ///
    /// # Errors
    ///
    /// If any member does not get an event.
    pub(super) fn run(
        &mut self,
        crowd: &mut Crowd<'_>,
        target: &Target,
        time: Duration,
    ) -> anyhow::Result<Report> {
        crowd.busy();
        let meter = Meter::start(target.process)?;
        let mut deliveries = 0;
        while meter.elapsed() < time {
            deliveries += u64::try_from(self.one(crowd)?)?;
        }
        let mut report = meter.finish(deliveries)?;
        // It never sleeps, so its CPU time tells nothing.
        report.own_cpu_ns = u64::try_from(crowd.busy().as_nanos())?;
        Ok(report)
    }

    /// Publishes a burst and hears it; how many deliveries that was.
    fn one(&mut self, crowd: &mut Crowd<'_>) -> anyhow::Result<usize> {
        let Shape { rooms, members, burst } = *self.shape;
        let first = self.place;
        crowd.publisher.publish((first..first + burst).map(|place| place % rooms))?;
        self.place = (first + burst) % rooms;
        crowd.hear_all(burst * members)?;
        Ok(burst * members)
    }
}
