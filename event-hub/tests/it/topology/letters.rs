//! What dies has somewhere to go, and what has nowhere to go does not die.

use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicPublishOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tramline_event_hub::topology::{Binding, Declared, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Context, Event, Hub, MemoryConfig, Outcome};

use crate::support::managed::Managed;
use crate::support::soon;

fn event() -> Event {
    Event::new("a.b", "test", &json!({})).unwrap()
}

fn work() -> Topology {
    Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum("work"))
        .binding(Binding::new("events", "#", "work"))
}

/// A process that crashes while it starts, again and again: its events were delivered each time, and no handler
/// ever saw them. A queue without dead letters has nowhere to put them, so it keeps them.
#[tokio::test]
async fn a_queue_without_dead_letters_keeps_what_is_returned_for_ever() {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let hub = Hub::amqp(&url, AmqpConfig::default()).unwrap();
    soon("a declaration", hub.declare(&work())).await.unwrap();
    let _receipt = hub.publish(&event()).await.unwrap();
    let raw = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    for crash in 0..25 {
        let channel = raw.create_channel().await.unwrap();
        channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
        let tag = format!("crash {crash}");
        let options = BasicConsumeOptions::default();
        let mut consumer = channel
            .basic_consume("work".into(), tag.as_str().into(), options, FieldTable::default())
            .await
            .unwrap();
        let delivery = soon("the event, once more", futures_util::StreamExt::next(&mut consumer)).await;
        assert_eq!(delivery.unwrap().unwrap().redelivered, crash > 0);
        channel.close(200, "crash".into()).await.unwrap();
    }
    hub.shutdown().await;
}

/// A level of the ladder that cannot get rid of thirty-two messages holds up the retries of everyone.
#[tokio::test]
async fn retries_for_a_queue_that_is_gone_hold_up_nobody() {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let hub = Hub::amqp(&url, AmqpConfig::default()).unwrap();
    soon("a declaration", hub.declare(&work())).await.unwrap();
    let raw = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = raw.create_channel().await.unwrap();
    // As they are under way to a queue that was deleted meanwhile, a tenth of a second before the end.
    let key = "0.".repeat(17) + "1.gone";
    for _ in 0..40 {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_delivery_mode(2);
        let sent = channel
            .basic_publish("tramline.delay.00".into(), key.as_str().into(), options, b"{}", properties)
            .await
            .unwrap();
        drop(sent);
    }

    let (sender, mut seen) = mpsc::channel(2);
    let handler = move |_: Event, cx: Context| {
        let sender = sender.clone();
        async move {
            sender.send(cx.attempt).await.unwrap();
            if cx.attempt == 1 {
                Outcome::RetryAfter { delay: Duration::from_millis(100), reason: "later".to_owned() }
            } else {
                Outcome::Ack
            }
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let consumer = tokio::spawn({
        let hub = hub.clone();
        async move { hub.consume("work", ConsumerConfig::default(), handler, async { drop(stopped.await) }).await }
    });
    // One that leaves the ladder behind them.
    let lost = async {
        while hub.queue("tramline.delay.lost").await.unwrap().is_none_or(|queue| queue.messages < 40) {
            tokio::task::yield_now().await;
        }
    };
    let _receipt = hub.publish(&event()).await.unwrap();
    assert_eq!(soon("the event", seen.recv()).await, Some(1));
    assert_eq!(soon("its retry", seen.recv()).await, Some(2));
    soon("the orphans' home", lost).await;
    drop(stop);
    consumer.await.unwrap().unwrap();
    hub.shutdown().await;
}

fn conflicts(declared: &Declared) -> Vec<(&str, &str)> {
    declared.conflicts.iter().map(|conflict| (conflict.name.as_str(), conflict.text.as_str())).collect()
}

fn dying(key: &str) -> Topology {
    Topology::new().queue(Queue::quorum("work").with_dead_letter("dlx", key))
}

fn grave() -> Topology {
    Topology::new()
        .exchange(Exchange::topic("dlx"))
        .queue(Queue::quorum("dlq"))
        .binding(Binding::new("dlx", "dead.#", "dlq"))
}

const MISSING: &str = r#"its dead letters go to exchange "dlx", which is not there"#;
const NOWHERE: &str = r#"its dead letters go to exchange "dlx" by "letter", where nothing takes them"#;

async fn dead_letters_without_a_target_are_told(hub: Hub, other: Hub, sees_bindings: bool) {
    let declared = soon("no exchange", hub.declare(&dying("letter"))).await.unwrap();
    assert_eq!(conflicts(&declared), [("work", MISSING)]);
    assert!(declared.made("work"), "it is there all the same");
    // An exchange of someone else's counts, and so does another's queue, where it can be seen.
    soon("the grave", other.declare(&grave())).await.unwrap();
    let declared = soon("an exchange", hub.declare(&dying("letter"))).await.unwrap();
    let expected: &[_] = if sees_bindings { &[("work", NOWHERE)] } else { &[] };
    assert_eq!(conflicts(&declared), expected);
    let taken = Topology::new().binding(Binding::new("dlx", "letter", "dlq"));
    soon("a binding", other.declare(&taken)).await.unwrap();
    let declared = soon("all of it", hub.declare(&dying("letter"))).await.unwrap();
    assert_eq!(declared.conflicts, []);
    hub.shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn dead_letters_without_a_target_are_told_in_memory() {
    let hub = Hub::memory(MemoryConfig::default());
    dead_letters_without_a_target_are_told(hub.clone(), hub, true).await;
}

#[tokio::test]
async fn dead_letters_without_a_target_are_told_by_amqp() {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let hub = || Hub::amqp(&url, AmqpConfig::default()).unwrap();
    dead_letters_without_a_target_are_told(hub(), hub(), false).await;
}

#[tokio::test]
async fn dead_letters_without_a_target_are_told_with_a_management() {
    let Some(bed) = Managed::fresh().await else { return };
    dead_letters_without_a_target_are_told(bed.hub(), bed.hub(), true).await;
}
