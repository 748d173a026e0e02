//! A worker process.

mod consume;
mod effects;
mod letters;
mod outbox;
pub(crate) mod phase;
mod publish;

use std::panic;

use crate::args::{Role, WorkerArgs};
use crate::bed;
use crate::tally::{Counts, Tally};

/// Works until the parent says stop, or is gone.
pub(crate) async fn run(args: WorkerArgs) -> anyhow::Result<()> {
    // ORDER: first, so that a parent that dies early takes this process with it.
    let phase = phase::listen()?;
    // Handlers panic on purpose.
    panic::set_hook(Box::new(|_| {}));
    let tally = Tally::default();
    let pool = bed::pool(&args.postgres)?;
    let hub = bed::hub(&args.amqp, &args.name)?;
    let work = async {
        if args.role == Role::Outbox {
            return outbox::run(&hub, &pool, &tally, &phase, args.seed).await;
        }
        tokio::select! {
            declared = bed::declare(&hub) => declared?,
            () = phase.stopped() => return Ok(()),
        }
        match args.role {
            Role::Consumer => consume::run(&hub, &pool, &tally, &phase).await,
            Role::Letters => letters::run(&hub, &pool, &tally, &phase, args.seed).await,
            Role::Publisher => publish::run(&hub, &phase, args.seed).await,
            Role::Outbox => Ok(()),
        }
    };
    let ended = tokio::select! {
        ended = work => ended,
        () = tally.tell() => Ok(()),
    };
    hub.shutdown().await;
    pool.close().await;
    tally.tell_once(Counts::default());
    ended
}
