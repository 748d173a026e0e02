//! From the publish to the consumer at a steady rate.

use std::thread;
use std::time::{Duration, Instant};

use measure::{Args, Latency, Meter, Report};

use crate::connection::Connection;
use crate::publish::Confirmed;
use crate::wire::{self, Incoming};

/// One thread publishes, one consumes, each on a connection of its own. The body begins with the time.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    let origin = Instant::now();
    let mut consumer = Connection::open(&args.url)?;
    let mut publisher = Connection::open(&args.url)?;
    publisher.confirm()?;
    let meter = Meter::start(args.broker)?;
    consumer.consume(&args.queue, args.prefetch)?;
    let latency = thread::scope(|scope| {
        let publishing = scope.spawn(move || publish(args, &mut publisher, origin));
        let mut latency = Latency::with_capacity(usize::try_from(args.events)?);
        let (mut seen, mut acked) = (0, 0);
        let mut out = Vec::new();
        while seen < args.events {
            consumer.read(|frame| {
                if let Incoming::Body(body) = frame {
                    let sent = Duration::from_nanos(wire::u64_at(body, 0)?);
                    latency.add(origin.elapsed().saturating_sub(sent));
                    seen += 1;
                }
                Ok(())
            })?;
            if seen > acked {
                wire::ack(&mut out, seen);
                consumer.send(&out)?;
                out.clear();
                acked = seen;
            }
        }
        publishing.join().expect("the publisher does not panic")?;
        anyhow::Ok(latency)
    })?;
    let mut report = meter.finish(args.events)?;
    report.latency = Some(latency.percentiles());
    Ok(report)
}

fn publish(args: &Args, connection: &mut Connection, origin: Instant) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut confirmed = Confirmed::default();
    let mut body = wire::body(args.style);
    for number in 1..=args.events {
        let due = Duration::from_secs(1) * u32::try_from(number)? / args.rate;
        thread::sleep(due.saturating_sub(begin.elapsed()));
        body[..8].copy_from_slice(&u64::try_from(origin.elapsed().as_nanos())?.to_be_bytes());
        connection.send(&wire::publish(args.style, &body))?;
        // Long confirmed, so this does not wait; unread, they would fill the socket.
        while confirmed.prefix + 64 < number {
            confirmed.read(connection)?;
        }
    }
    while confirmed.prefix < args.events {
        confirmed.read(connection)?;
    }
    Ok(())
}
