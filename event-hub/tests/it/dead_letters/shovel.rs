//! Letters that someone moves by hand, past this crate.

use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicRejectOptions};

use super::strange::{channel, on_rabbit, put};
use super::*;

on_rabbit!(a_letter_shovelled_back_is_alive_and_dies_anew, a_letter_of_the_broker_s_shovelled_back_is_alive);

/// Takes the next message out of a queue, as a shovel does: with all its headers.
async fn take(channel: &lapin::Channel, queue: &str) -> (Vec<u8>, BasicProperties) {
    let take = async {
        loop {
            if let Some(message) = channel.basic_get(queue.into(), Default::default()).await.unwrap() {
                message.acker.ack(BasicAckOptions::default()).await.unwrap();
                return (message.delivery.data, message.delivery.properties);
            }
            tokio::task::yield_now().await;
        }
    };
    soon("a message to move", take).await
}

/// It used to count as a dead letter in its own work queue too, with its old attempts and a story of its own.
async fn a_letter_shovelled_back_is_alive_and_dies_anew(bed: Bed, url: &str) {
    let (_connection, channel) = channel(url).await;
    let failing = bed.reject("work");
    bed.publish(&event("orders.order.placed", 1)).await;
    let (body, properties) = take(&channel, &bed.name("dlq")).await;
    failing.stop().await;
    let mut failing = bed.consume("work", |_, _| Outcome::Retry { reason: "broken".to_owned() });
    put(&channel, &bed.name("work"), &body, properties).await;
    for attempt in [1, 2] {
        let (_, cx) = failing.next().await;
        assert_eq!((cx.attempt, cx.dead_letter), (attempt, None));
    }
    bed.drain(1).await;
    let [letter] = &bed.all().await[..] else { panic!("one letter") };
    assert_eq!((letter.reason.as_str(), letter.attempts, letter.redrives), ("attempts", 2, 1));
    assert_eq!(letter.previous_reason.as_deref(), Some("rejected"));
    failing.stop().await;
}

async fn a_letter_of_the_broker_s_shovelled_back_is_alive(bed: Bed, url: &str) {
    let (_connection, channel) = channel(url).await;
    let picky = Queue::quorum(bed.name("picky"))
        .with_delivery_limit(Some(2))
        .with_dead_letter(bed.name("dlx"), "dead-letter");
    bed.hub.declare(&Topology::new().queue(picky)).await.unwrap();
    let event = event("orders.order.placed", 1);
    put(&channel, &bed.name("picky"), &event.to_json(), BasicProperties::default()).await;
    let mut returned = 0;
    while returned < 3 {
        let queue = bed.name("picky");
        let got = channel.basic_get(queue.as_str().into(), Default::default()).await.unwrap();
        let Some(message) = got else {
            tokio::task::yield_now().await;
            continue;
        };
        message.acker.reject(BasicRejectOptions { requeue: true }).await.unwrap();
        returned += 1;
    }
    let (body, properties) = take(&channel, &bed.name("dlq")).await;
    let marks = properties.headers().as_ref().unwrap();
    assert!(marks.contains_key("x-death") && marks.contains_key("x-first-death-queue"));
    put(&channel, &bed.name("picky"), &body, properties).await;
    let mut failing = bed.consume("picky", |_, _| Outcome::Retry { reason: "broken".to_owned() });
    for attempt in [1, 2] {
        let (seen, cx) = failing.next().await;
        assert_eq!((&seen.id, cx.attempt, cx.dead_letter), (&event.id, attempt, None));
    }
    bed.drain(1).await;
    let [letter] = &bed.all().await[..] else { panic!("one letter") };
    assert_eq!((letter.reason.as_str(), letter.attempts), ("attempts", 2));
    assert_eq!(letter.queue, Some(bed.name("picky")));
    assert_eq!((letter.redrives, letter.previous_reason.as_deref()), (1, Some("delivery_limit")));
    failing.stop().await;
}
