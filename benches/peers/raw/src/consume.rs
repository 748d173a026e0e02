//! Consuming with acknowledgements.

use measure::{Args, Meter, Report};

use crate::connection::Connection;
use crate::wire::{self, Incoming};

/// Takes so many deliveries. One acknowledgement is for all that one read brought, but for no fewer than
/// `--ack-every`.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    let mut connection = Connection::open(&args.url)?;
    let (mut seen, mut acked) = (0, 0);
    let mut out = Vec::new();
    let meter = Meter::start(args.broker)?;
    connection.consume(&args.queue, args.prefetch)?;
    while seen < args.events {
        connection.read(|frame| {
            if let Incoming::Method((60, 60), _) = frame {
                seen += 1;
            }
            Ok(())
        })?;
        // Tags count from one on a channel, so the count of deliveries is the last one's tag.
        if seen - acked >= args.ack_every || seen == args.events {
            wire::ack(&mut out, seen);
            connection.send(&out)?;
            out.clear();
            acked = seen;
        }
    }
    meter.finish(seen)
}
