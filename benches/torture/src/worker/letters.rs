//! The keeper of the dead letters.

use std::time::Duration;

use sqlx::PgPool;
use tramline_event_hub::Hub;
use tramline_event_hub::dead_letters::{DrainConfig, postgres};

use crate::bed;
use crate::tally::Tally;
use crate::worker::phase::Phase;

pub(super) async fn run(hub: &Hub, pool: &PgPool, tally: &Tally, phase: &Phase) -> anyhow::Result<()> {
    let mut config = DrainConfig::default();
    config.max_pause = Duration::from_secs(1);
    let told = |drained: &tramline_event_hub::dead_letters::Drained| {
        let (stored, repeated) = (drained.stored, drained.repeated);
        tally.add(|counts| (counts.stored, counts.repeated) = (stored, repeated));
    };
    let letters = postgres::open(pool.clone());
    letters.drain(hub, bed::LETTERS_QUEUE, config, told, phase.stopped()).await?;
    Ok(())
}
