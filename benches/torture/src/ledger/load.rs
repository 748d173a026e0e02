//! The ledger's entries, from the tables and from what the publishers know.

use sqlx::PgPool;

use crate::ledger::{Accepted, Effect, Ledger, ORDERED};
use crate::log::Log;

pub(crate) async fn load(pool: &PgPool, log: &Log) -> anyhow::Result<Ledger> {
    let mut ledger = Ledger::default();
    let known = log.known().clone();
    for (id, poison) in known.offered {
        if known.accepted.contains(&id) {
            ledger.accepted.insert(id, Accepted { poison, ordered: false });
        } else {
            ledger.unanswered.insert(id, poison);
        }
    }
    let written: Vec<(String, bool)> =
        sqlx::query_as("SELECT event_id, poison FROM written").fetch_all(pool).await?;
    for (id, poison) in written {
        ledger.accepted.insert(id, Accepted { poison, ordered: true });
    }
    let effects: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT event_id, consumer, key, seq FROM effects ORDER BY id")
            .fetch_all(pool)
            .await?;
    let effect = |(event_id, consumer, key, seq): (_, String, _, _)| Effect {
        event_id,
        ordered: consumer == ORDERED,
        key,
        seq,
    };
    ledger.effects = effects.into_iter().map(effect).collect();
    let letters: Vec<(Option<String>, String)> =
        sqlx::query_as("SELECT event_id, reason FROM tramline_dead_letters ORDER BY id")
            .fetch_all(pool)
            .await?;
    for (id, reason) in letters {
        ledger
            .letters
            .entry(id.unwrap_or_else(|| "an event without an id".to_owned()))
            .or_default()
            .push(reason);
    }
    let deaths: Vec<(String, i64)> =
        sqlx::query_as("SELECT event_id, count(*) FROM tries GROUP BY event_id").fetch_all(pool).await?;
    ledger.deaths = deaths.into_iter().map(|(id, count)| (id, count.unsigned_abs())).collect();
    ledger.outbox = sqlx::query_scalar("SELECT event_id FROM outbox").fetch_all(pool).await?;
    Ok(ledger)
}
