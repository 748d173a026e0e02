//! One run, from the first server to the verdict.

mod drain;
mod watch;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use devkit::{Fault, Postgres, RabbitMq};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::args::Options;
use crate::chaos::Victims;
use crate::log::Log;
use crate::report::{Report, say};
use crate::run::drain::Drain;
use crate::run::watch::Watch;
use crate::workers::Workers;
use crate::{bed, ledger, plan};

/// Processes start and declare on a machine that compiles beside them.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Runs it; whether nothing was lost. Ctrl-C ends it, with everything that it started.
pub(crate) async fn run(options: &Options) -> anyhow::Result<bool> {
    let seed = options.seed.unwrap_or_else(|| rand::random::<u32>().into());
    say(&format!("seed {seed}, {} s", options.seconds));
    tokio::select! {
        sound = torture(seed, Duration::from_secs(options.seconds)) => sound,
        // Dropping the run kills the workers and the servers.
        () = interrupted() => bail!("interrupted"),
    }
}

async fn torture(seed: u64, length: Duration) -> anyhow::Result<bool> {
    say("── starting RabbitMQ, PostgreSQL and the workers");
    let (broker, database) = tokio::try_join!(RabbitMq::start(), Postgres::start())?;
    let (network, amqp) = Fault::in_front_of(&broker.url()).await?;
    let postgres = database.fresh_database().await?;
    let pool = bed::pool(&postgres)?;
    bed::migrate(&pool).await?;
    let log = Log::default();
    let workers = Workers::start(&amqp, &postgres, &log, seed).await?;
    let watch = Watch::new(&workers, &log);
    timeout(START_LIMIT, watch.until_effects()).await.context("no effect in time")??;

    say("── trouble");
    let done = Mutex::default();
    let victims =
        Victims { broker: &broker, network: &network, database: &database, workers: &workers, done };
    let start = Instant::now();
    let trouble = async {
        victims.torment(&plan::plan(seed, length), start, length).await?;
        sleep_until(start + length).await;
        anyhow::Ok(())
    };
    tokio::select! {
        ended = trouble => ended?,
        never = watch.run() => never?,
    }

    say("── faults off: draining");
    workers.quiet().await;
    let drain = Drain::new(&broker.url(), &pool, &log, &workers)?;
    let mut troubles = tokio::select! {
        troubles = drain.run() => troubles?,
        never = watch.run() => never.map(|()| Vec::new())?,
    };
    // Until the first effect of the drain: an outage lasts as long as it is felt.
    let idle = watch.idle();
    workers.stop().await?;
    let left = drain.depth().await?;
    if left > 0 {
        troubles.push(format!("{left} messages left in the queues"));
    }
    troubles.extend(workers.surprises());
    let faults = victims.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let known = log.known().clone();
    let ledger = ledger::load(&pool, &log).await?;
    drain.close().await;
    pool.close().await;
    tokio::join!(broker.stop(), database.stop());
    Ok(Report { seed, ledger, known, counts: workers.counts(), faults, idle, troubles }.tell())
}

/// Returns at Ctrl-C or SIGTERM.
async fn interrupted() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}
