//! Transactions with an event in each, and the relay that sends what was committed.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgPool;
use tramline_event_hub::outbox::RelayConfig;
use tramline_event_hub::{Hub, outbox};

use crate::bed;
use crate::tally::Tally;
use crate::task::{Does, ORDERED, Task};
use crate::worker::phase::Phase;

/// About thirty transactions a second each.
const PACE_MS: std::ops::Range<u64> = 10..50;

pub(super) async fn run(
    hub: &Hub,
    pool: &PgPool,
    tally: &Tally,
    phase: &Phase,
    seed: u64,
) -> anyhow::Result<()> {
    let mut config = RelayConfig::default();
    // An outage here lasts seconds.
    config.max_pause = Duration::from_secs(1);
    config.max_delay = Duration::from_secs(2);
    let relay = outbox::postgres::Relay::new(pool.clone(), hub.clone(), config);
    let writing = async {
        tokio::select! {
            () = write(pool, tally, seed) => {}
            () = phase.quiet() => {}
        }
    };
    // Whether the broker is there is nothing that a transaction waits for.
    let relaying = async {
        tokio::select! {
            declared = bed::declare(hub) => declared?,
            () = phase.stopped() => return Ok(()),
        }
        relay.run(phase.stopped()).await;
        Ok(())
    };
    tokio::join!(writing, relaying).1
}

/// Writes without end. What fails was rolled back, or committed without our knowing: the tables know.
async fn write(pool: &PgPool, tally: &Tally, seed: u64) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    loop {
        match transaction(pool, &mut rng).await {
            Ok(true) => tally.add(|counts| counts.committed += 1),
            Ok(false) => tally.add(|counts| counts.rolled_back += 1),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(PACE_MS))).await;
    }
}

/// The row of its key makes transactions of one key exclude each other. Answers whether it committed.
async fn transaction(pool: &PgPool, rng: &mut Xoshiro256PlusPlus) -> anyhow::Result<bool> {
    let key = format!("k{}", rng.random_range(0..bed::KEYS));
    let does = Does::draw(rng);
    let commits = rng.random_ratio(9, 10);
    let mut tx = pool.begin().await?;
    let seq: i64 = sqlx::query_scalar("UPDATE keys SET seq = seq + 1 WHERE key = $1 RETURNING seq")
        .bind(&key)
        .fetch_one(&mut *tx)
        .await?;
    let event = Task { key: key.clone(), seq, does }.event(ORDERED)?;
    outbox::postgres::enqueue(&mut tx, &event).await?;
    sqlx::query("INSERT INTO written (event_id, key, seq, poison) VALUES ($1, $2, $3, $4)")
        .bind(event.id.as_str())
        .bind(key)
        .bind(seq)
        .bind(does.is_poison())
        .execute(&mut *tx)
        .await?;
    if commits {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    Ok(commits)
}
