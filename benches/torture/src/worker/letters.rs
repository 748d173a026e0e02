//! The keeper of the dead letters: it stores them, and sends some of them back.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgPool;
use tokio::time::sleep;
use tramline_event_hub::dead_letters::{
    DeadLetters, DrainConfig, Drained, Filter, RedriveConfig, Returned, Selection, postgres,
};
use tramline_event_hub::{ErrorKind, Hub};

use crate::bed;
use crate::tally::Tally;
use crate::task::{HOPELESS, MENDED};
use crate::worker::phase::Phase;

/// Between two redrives.
const PAUSE_MS: std::ops::Range<u64> = 500..2_500;

/// What a kill leaves claimed is free again after three publish timeouts, which is the least.
const LEASE: Duration = Duration::from_secs(1);

pub(super) async fn run(
    hub: &Hub,
    pool: &PgPool,
    tally: &Tally,
    phase: &Phase,
    seed: u64,
) -> anyhow::Result<()> {
    let mut config = DrainConfig::default();
    config.max_pause = Duration::from_secs(1);
    let told = |drained: &Drained| {
        let (stored, repeated) = (drained.stored, drained.repeated);
        tally.add(|counts| (counts.stored, counts.repeated) = (stored, repeated));
    };
    let letters = postgres::open(pool.clone());
    let drain = async {
        letters.drain(hub, bed::LETTERS_QUEUE, config, told, phase.stopped()).await?;
        Ok(())
    };
    let redrive = async {
        tokio::select! {
            ended = redrive(hub, &letters, tally, phase, seed) => ended,
            () = phase.stopped() => Ok(()),
        }
    };
    tokio::try_join!(drain, redrive).map(drop)
}

/// Sends back without end what has been mended meanwhile, and what will die again as long as there is trouble.
async fn redrive(
    hub: &Hub,
    letters: &DeadLetters,
    tally: &Tally,
    phase: &Phase,
    seed: u64,
) -> anyhow::Result<()> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut config = RedriveConfig::default();
    config.lease = LEASE;
    loop {
        sleep(Duration::from_millis(rng.random_range(PAUSE_MS))).await;
        let kind = if phase.is_quiet() || rng.random_ratio(2, 3) { MENDED } else { HOPELESS };
        let mut filter = Filter::new();
        filter.event_type = Some(kind.to_owned());
        let told = |returned: &Returned| {
            tally.add(|counts| counts.redriven += u64::from(returned.error.is_none()));
        };
        match letters.redrive(hub, &Selection::Matching(filter), config.clone(), told).await {
            Err(error) if error.kind() != ErrorKind::Store => return Err(error.into()),
            // The database, or the broker, is away: the next finds what this one has left.
            Ok(_) | Err(_) => {}
        }
    }
}
