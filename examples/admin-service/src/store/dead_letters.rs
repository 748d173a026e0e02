//! Dead letters, moved from their queue into a table: the move is one transaction, the ack comes after it.

use chassis::args;
use chassis::db::DbError;
use contracts::DEAD_LETTER_QUEUE;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tramline_event_hub::handler::RawDelivery;
use tramline_event_hub::{Context, EventId};
use uuid::Uuid;

use super::Store;

impl Store {
    /// Keeps a dead letter, once: the same delivery again, after a lost ack, changes nothing. One that nothing tells
    /// from another is kept whenever it comes: twice is better than not at all.
    pub(crate) async fn keep_dead_letter(&self, delivery: &RawDelivery, cx: &Context) -> Result<(), DbError> {
        let event = delivery.event().ok();
        let info = cx.dead_letter.as_ref();
        let last_failed_at = info.and_then(|info| info.last_failed_at);
        let queue = info.and_then(|info| plain(info.queue.as_ref()));
        let mut tx = self.db.begin().await?;
        let id =
            event.as_ref().map(|event| event.id.to_string()).or_else(|| plain(delivery.message_id.as_ref()));
        if let Some(mark) = mark(delivery, id.as_deref(), queue.as_deref(), last_failed_at)
            && !tx.first_time(DEAD_LETTER_QUEUE, &mark).await?
        {
            return Ok(());
        }
        let headers = serde_json::to_string(&delivery.headers).map_err(DbError::foreign)?;
        tx.execute(
            "INSERT INTO dead_letters (id, event_id, event_type, queue, routing_key, reason, error, handler, \
                 attempts, first_failed_at, last_failed_at, headers, body, received_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            args![
                Uuid::now_v7(),
                &id,
                event.as_ref().map(|event| event.event_type.clone()),
                &queue,
                info.and_then(|info| plain(info.routing_key.as_ref())),
                info.and_then(|info| plain(Some(&info.reason))).unwrap_or_else(|| "unknown".to_owned()),
                info.and_then(|info| plain(info.error.as_ref())),
                info.and_then(|info| plain(info.handler.as_ref())),
                info.map_or(0, |info| info.attempts),
                info.and_then(|info| info.first_failed_at),
                last_failed_at,
                headers,
                &delivery.body[..],
                Timestamp::now(),
            ],
        )
        .await?;
        tx.commit().await
    }

    /// How many there are.
    pub(crate) async fn dead_letters(&self) -> Result<i64, DbError> {
        self.db.query_one("SELECT COUNT(*) AS n FROM dead_letters", args![]).await?.get("n")
    }
}

/// Text from outside without U+0000, which PostgreSQL refuses: a dead letter that cannot be kept comes again
/// for ever.
fn plain(text: Option<&String>) -> Option<String> {
    text.map(|text| text.replace('\0', "\u{fffd}"))
}

/// What tells one dead letter from another: the name that the hub gave its death; else, of those that the broker
/// itself has buried, their id, their queue and the second. Nothing tells others apart.
fn mark(
    delivery: &RawDelivery,
    id: Option<&str>,
    queue: Option<&str>,
    last_failed_at: Option<Timestamp>,
) -> Option<EventId> {
    let mut hash = Sha256::new();
    if let Some(name) = delivery.header(DEATH) {
        hash.update(name);
    } else {
        hash.update(id?);
        hash.update(last_failed_at?.as_microsecond().to_be_bytes());
    }
    hash.update(&delivery.body);
    hash.update(queue.unwrap_or_default());
    Some(EventId::parse(hex::encode(hash.finalize())).expect("64 hexadecimal digits are a valid id"))
}

/// The hub's name of one death: the same event may die in two queues, and again after a redrive.
const DEATH: &str = "x-tramline-death";
