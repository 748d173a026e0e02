//! Publishing with confirms.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{bail, ensure};
use measure::{Args, Latency, Meter, Report};

use crate::connection::Connection;
use crate::wire::{self, Incoming};

/// What has been confirmed. Single confirms may overtake each other.
#[derive(Default)]
pub struct Confirmed {
    /// All up to this tag.
    pub prefix: u64,
    /// Single ones above.
    early: BTreeSet<u64>,
}

/// Keeps the window full: all that there is room for goes out in one write.
pub fn windowed(args: &Args) -> anyhow::Result<Report> {
    let mut connection = Connection::open(&args.url)?;
    connection.confirm()?;
    let one = wire::publish(args.style, &wire::body(args.style));
    let frames = one.repeat(args.window);
    let window = args.window as u64;
    let mut confirmed = Confirmed::default();
    let mut sent = 0;
    let meter = Meter::start(args.broker)?;
    while confirmed.count() < args.events {
        let room = (window - (sent - confirmed.count())).min(args.events - sent);
        if room > 0 {
            connection.send(&frames[..one.len() * usize::try_from(room)?])?;
            sent += room;
        }
        confirmed.read(&mut connection)?;
    }
    let report = meter.finish(args.events)?;
    ensure!(sent == args.events, "more confirmed than sent");
    Ok(report)
}

/// One after the other, each confirmed before the next.
pub fn awaited(args: &Args) -> anyhow::Result<Report> {
    let mut connection = Connection::open(&args.url)?;
    connection.confirm()?;
    let one = wire::publish(args.style, &wire::body(args.style));
    let mut latency = Latency::with_capacity(usize::try_from(args.events)?);
    let mut confirmed = Confirmed::default();
    let meter = Meter::start(args.broker)?;
    for number in 1..=args.events {
        let start = Instant::now();
        connection.send(&one)?;
        while confirmed.prefix < number {
            confirmed.read(&mut connection)?;
        }
        latency.add(start.elapsed());
    }
    let mut report = meter.finish(args.events)?;
    report.latency = Some(latency.percentiles());
    Ok(report)
}

impl Confirmed {
    /// How many in all.
    pub fn count(&self) -> u64 {
        self.prefix + self.early.len() as u64
    }

    /// Reads once and counts.
    pub fn read(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        connection.read(|frame| {
            match frame {
                Incoming::Method((60, 80), arguments) => {
                    let tag = wire::u64_at(arguments, 0)?;
                    if arguments.get(8) == Some(&1) {
                        self.prefix = tag.max(self.prefix);
                        self.early = self.early.split_off(&(tag + 1));
                    } else if tag == self.prefix + 1 {
                        self.prefix = tag;
                    } else {
                        self.early.insert(tag);
                    }
                    while self.early.remove(&(self.prefix + 1)) {
                        self.prefix += 1;
                    }
                }
                Incoming::Method((60, 120 | 50), _) => bail!("refused or returned"),
                _ => {}
            }
            Ok(())
        })
    }
}
