//! Handlers over the three queues.

use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::PgPool;
use tramline_event_hub::config::Order;
use tramline_event_hub::handler::{BoxError, RawDelivery};
use tramline_event_hub::{ConsumerConfig, Context, Event, Handler, Hub, Outcome, RetryPolicy};

use crate::bed;
use crate::ledger::{DIRECT, ORDERED};
use crate::tally::Tally;
use crate::task::{Does, Task};
use crate::worker::effects::Effects;
use crate::worker::phase::Phase;

/// What an event has been sent back with.
const REDRIVES: &str = "x-tramline-redrives";

/// How often a hopeless event is tried.
const HOPELESS_TRIES: u32 = 3;

pub(super) async fn run(hub: &Hub, pool: &PgPool, tally: &Tally, phase: &Phase) -> anyhow::Result<()> {
    let effects = Effects::new(pool, tally);
    tokio::try_join!(
        direct(hub, &effects, phase),
        ordered(hub, &effects, phase),
        hopeless(hub, &effects, phase)
    )?;
    Ok(())
}

fn config(name: &str) -> ConsumerConfig {
    let mut config = ConsumerConfig::default();
    config.name = Some(name.to_owned());
    // As many as count: while the database is cut off every try fails.
    config.retry.max_attempts = 19;
    config.retry.first_delay = Duration::from_millis(200);
    config.retry.max_delay = Duration::from_secs(1);
    config
}

fn received(effects: &Effects, event: &Event, cx: &Context) -> Result<Task, BoxError> {
    effects.tally.add(|counts| {
        counts.handled += 1;
        counts.redelivered += u64::from(cx.redelivered);
    });
    Ok(event.data::<Task>()?)
}

/// Many at once, failures after a delay.
async fn direct(hub: &Hub, effects: &Effects, phase: &Phase) -> anyhow::Result<()> {
    let handler = effectful(DIRECT, effects);
    hub.consume(bed::DIRECT_QUEUE, config(DIRECT), handler, phase.stopped()).await.context(DIRECT)?;
    bail_unless_stopped(phase).await
}

/// In order by key: what fails is tried again in its place, and its key waits.
async fn ordered(hub: &Hub, effects: &Effects, phase: &Phase) -> anyhow::Result<()> {
    let mut config = config(ORDERED);
    config.order = Some(Order::by_partition_key());
    config.retry.place = RetryPolicy::in_place().place;
    let handler = effectful(ORDERED, effects);
    hub.consume(bed::ORDERED_QUEUE, config, handler, phase.stopped()).await.context(ORDERED)?;
    bail_unless_stopped(phase).await
}

/// Does what its task says.
fn effectful(
    consumer: &'static str,
    effects: &Effects,
) -> impl Handler<(Event, Context, RawDelivery)> + use<> {
    let effects = effects.clone();
    move |event: Event, cx: Context, raw: RawDelivery| {
        let effects = effects.clone();
        async move {
            let task = received(&effects, &event, &cx)?;
            match task.does {
                Does::Poison => {
                    effects.note_death(&event).await;
                    return Ok::<_, BoxError>(Outcome::Reject { reason: "poison".to_owned() });
                }
                Does::Mended if raw.header(REDRIVES).is_none() => {
                    effects.note_death(&event).await;
                    return Ok(Outcome::Reject { reason: "not mended yet".to_owned() });
                }
                Does::Fails(times) if cx.attempt <= times => {
                    effects.tally.add(|counts| counts.failed += 1);
                    return Err("fails on purpose".into());
                }
                Does::Panics if cx.attempt == 1 => {
                    effects.tally.add(|counts| counts.failed += 1);
                    panic!("panics on purpose");
                }
                Does::Fine | Does::Fails(_) | Does::Panics | Does::Mended => {}
            }
            effects.write(consumer, &event, &task).await?;
            Ok(Outcome::Ack)
        }
    }
}

/// Fails until there are no more tries.
async fn hopeless(hub: &Hub, effects: &Effects, phase: &Phase) -> anyhow::Result<()> {
    let effects = effects.clone();
    let handler = move |event: Event, cx: Context| {
        let effects = effects.clone();
        async move {
            received(&effects, &event, &cx)?;
            if cx.attempt >= HOPELESS_TRIES {
                effects.note_death(&event).await;
            }
            effects.tally.add(|counts| counts.failed += 1);
            Err::<Outcome, BoxError>("hopeless".into())
        }
    };
    let mut config = config("hopeless");
    config.retry.max_attempts = HOPELESS_TRIES;
    // Every one fails here, and nothing is ill.
    config.breaker = None;
    hub.consume(bed::HOPELESS_QUEUE, config, handler, phase.stopped()).await.context("hopeless")?;
    bail_unless_stopped(phase).await
}

/// A consumer ends when it is told to, and never before.
async fn bail_unless_stopped(phase: &Phase) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        () = phase.stopped() => Ok(()),
        () = std::future::ready(()) => bail!("a consumer ended by itself"),
    }
}
