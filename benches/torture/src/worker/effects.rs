//! What handlers do to the database.

use std::time::Duration;

use sqlx::PgPool;
use tramline_event_hub::{Event, inbox};

use crate::tally::Tally;
use crate::task::Task;

#[derive(Clone, Debug)]
pub(super) struct Effects {
    pool: PgPool,
    pub(super) tally: Tally,
}

/// The database is frozen for seconds, and its pool's patience is longer.
const AGAIN: Duration = Duration::from_millis(50);

// === impl Effects ===

impl Effects {
    pub(super) fn new(pool: &PgPool, tally: &Tally) -> Self {
        Self { pool: pool.clone(), tally: tally.clone() }
    }

    /// Mark and effect in one transaction.
    pub(super) async fn write(&self, consumer: &str, event: &Event, task: &Task) -> anyhow::Result<()> {
        let mut tx = self.pool.begin().await?;
        let first = inbox::postgres::record(&mut tx, consumer, &event.id).await?;
        if first {
            sqlx::query("INSERT INTO effects (event_id, consumer, key, seq) VALUES ($1, $2, $3, $4)")
                .bind(event.id.as_str())
                .bind(consumer)
                .bind(&task.key)
                .bind(task.seq)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        self.tally.add(|counts| {
            if first {
                counts.effects += 1;
            } else {
                counts.suppressed += 1;
            }
        });
        Ok(())
    }

    /// Notes that an event is about to die; does not return before it is noted.
    pub(super) async fn note_death(&self, event: &Event) {
        let note =
            || sqlx::query("INSERT INTO tries VALUES ($1)").bind(event.id.as_str()).execute(&self.pool);
        while note().await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    }
}
