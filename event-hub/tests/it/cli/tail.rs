//! `tail`.

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::*;
use crate::dead_letters::{Binding, Exchange, Queue, Topology, event};

/// Starts it and waits until it listens.
async fn start(arguments: &[&str]) -> Child {
    let mut child = command(arguments).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("listening through") {
                return;
            }
        }
        panic!("it ended");
    };
    soon("the tail", listening).await;
    // Its later words go nowhere, which must not trouble it.
    child
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_what_is_published_and_ends_when_told() {
    let Some(broker) = devkit::engines::amqp().await else { return };
    let bed = Bed::rabbit(Database::sqlite().await.unwrap(), broker).await;
    let exchange = bed.name("events");
    let arguments = ["tail", "--bind", "orders.#", "--exchange", &exchange, "--broker", broker, "--json"];
    let by_count = start(&[&arguments[..], &["--count", "2"]].concat()).await;
    let interrupted = start(&arguments[..7]).await;
    let events = [event("orders.order.placed", 1), event("others.x", 2), event("orders.order.paid", 3)];
    for event in &events {
        bed.publish(event).await;
    }
    let ended = end(by_count).await.with_code(0);
    let lines = ended.lines();
    assert_eq!(lines.len(), 2);
    for (line, event) in lines.iter().zip([&events[0], &events[2]]) {
        let whole: serde_json::Value = serde_json::from_slice(&event.to_json()).unwrap();
        assert_eq!((&line["event"], &line["routingKey"]), (&whole, &whole["type"]));
    }
    // Told to end, it has shown what it had and says nothing more.
    interrupt(&interrupted).await;
    let ended = end(interrupted).await.with_code(0);
    assert!(ended.out.lines().count() <= 2 && !ended.out.contains("others.x"), "{}", ended.out);
}

/// A work queue's events are seen and stay its consumers'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_takes_nothing_from_a_work_queue() {
    let Some(broker) = devkit::engines::amqp().await else { return };
    let bed = Bed::rabbit(Database::sqlite().await.unwrap(), broker).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("definitions.json");
    let (exchange, work) = (bed.name("events"), bed.name("work"));
    let topology = Topology::new()
        .exchange(Exchange::topic(&exchange))
        .queue(Queue::quorum(&work))
        .binding(Binding::new(&exchange, "#", &work));
    std::fs::write(&file, topology.to_definitions_json("/")).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["tail", &work, "--definitions", file, "--broker", broker, "--count", "1"];
    let child = start(&arguments).await;
    let published = event("orders.order.placed", 1);
    bed.publish(&published).await;
    let ended = end(child).await.with_code(0);
    assert!(ended.out.contains(published.id.as_str()) && ended.out.contains("{\"n\":1}"), "{}", ended.out);
    let (event, cx) = bed.acknowledge("work").next().await;
    assert_eq!((event.id, cx.attempt, cx.redelivered), (published.id, 1, false));
    let unknown = run(&["tail", "nobody", "--definitions", file, "--broker", broker], "").await.with_code(64);
    assert!(unknown.err.contains("nothing leads to the queue nobody"), "{}", unknown.err);
}
