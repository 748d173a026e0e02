//! Moves that a broker does not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::FieldTable;
use tokio::sync::{Barrier, oneshot};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{ConsumerConfig, Event, Hub, Outcome};

use crate::faults::{config, event};
use crate::support::{name, soon, until};

const EVENTS: u32 = 4;

/// Their dead letters go to an exchange of someone else's, which is gone. The first moves were out together, and are in
/// doubt ever after, whatever the later ones are told: they do not go back to the handler, and health says why, until
/// the exchange is there.
#[tokio::test]
async fn doubtful_moves_that_are_refused_later_are_told_and_end_with_the_cause() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = name();
    let mut settings = config(&prefix);
    settings.backoff_max = Duration::from_millis(200);
    let hub = Hub::amqp(url, settings).unwrap();
    let (events, theirs) = (format!("{prefix}.events"), format!("{prefix}.theirs"));
    let (queue, letters) = (format!("{prefix}.work"), format!("{prefix}.letters"));
    let topology = Topology::new()
        .exchange(Exchange::topic(&events))
        .queue(Queue::quorum(&queue).with_dead_letter(&theirs, "dead-letter"))
        .queue(Queue::quorum(&letters))
        .binding(Binding::new(&events, "#", &queue));
    let declared = hub.declare(&topology).await.unwrap();
    assert_eq!(declared.conflicts.len(), 1, "{declared:?}");

    let (calls, together) = (Arc::<AtomicU32>::default(), Arc::new(Barrier::new(EVENTS as usize)));
    let (stop, stopped) = oneshot::channel::<()>();
    let consuming = tokio::spawn({
        let (hub, queue, calls) = (hub.clone(), queue.clone(), Arc::clone(&calls));
        let handler = move |_: Event| {
            let (calls, together) = (Arc::clone(&calls), Arc::clone(&together));
            async move {
                calls.fetch_add(1, Ordering::SeqCst);
                together.wait().await;
                Outcome::Reject { reason: "no".to_owned() }
            }
        };
        let shutdown = async {
            let _ = stopped.await;
        };
        async move { hub.consume(&queue, ConsumerConfig::default(), handler, shutdown).await }
    });
    for n in 0..EVENTS {
        let _receipt = hub.publish(&event("a.b", n as usize)).await.unwrap();
    }
    let trouble = || hub.health().consumers.first().and_then(|consumer| consumer.trouble.clone());
    // Each for itself by now.
    until("a sure refusal", || {
        trouble().is_some_and(|told| told.contains("4 events") && told.contains("refused it: 404"))
    })
    .await;
    assert!(hub.health().ready());

    let raw = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = raw.create_channel().await.unwrap();
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let (kind, none) = (lapin::ExchangeKind::Direct, FieldTable::default());
    channel.exchange_declare(theirs.as_str().into(), kind, options, none.clone()).await.unwrap();
    let (bind, options) = (letters.as_str().into(), QueueBindOptions::default());
    channel.queue_bind(bind, theirs.as_str().into(), "dead-letter".into(), options, none).await.unwrap();
    soon("the letters", async {
        while hub.queue(&letters).await.unwrap().unwrap().messages < u64::from(EVENTS) {}
    })
    .await;
    until("its end", || trouble().is_none()).await;
    drop(stop);
    soon("the drain", consuming).await.unwrap().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), EVENTS, "none was handled beside its copy");
    assert_eq!(hub.queue(&letters).await.unwrap().unwrap().messages, u64::from(EVENTS));
    hub.shutdown().await;
}
