//! Clients in other languages on the real broker: pika, amqplib, and the SDKs of CloudEvents.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tramline_event_hub::envelope::{Event, ExtensionValue};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Context, Hub, Outcome};

/// An interpreter starts, and loads its packages, on a busy machine.
const SOON: Duration = Duration::from_secs(120);

struct Client {
    program: PathBuf,
    script: PathBuf,
    /// What it calls itself as a source.
    source: &'static str,
}

fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(path)
}

fn pika() -> Option<Client> {
    let program = devkit::foreign::python()?;
    Some(Client { program, script: script("python/client.py"), source: "/pika" })
}

fn amqplib() -> Option<Client> {
    let program = devkit::foreign::node()?;
    Some(Client { program, script: script("node/client.mjs"), source: "/amqplib" })
}

impl Client {
    /// What it prints, line by line.
    async fn run(&self, args: &[&str]) -> Vec<Value> {
        let mut command = Command::new(&self.program);
        command.arg(&self.script).args(args).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(SOON, command.output()).await.expect("it ends in time").expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", self.script.display());
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// A hub with an exchange, a work queue for `thing.#`, and queues that nobody of ours consumes.
async fn hub(url: &str, prefix: &str, others: &[&str]) -> Hub {
    let (events, dlx) = (format!("{prefix}.events"), format!("{prefix}.dlx"));
    let (work, dlq) = (format!("{prefix}.work"), format!("{prefix}.dlq"));
    let mut topology = Topology::new()
        .exchange(Exchange::topic(&events))
        .exchange(Exchange::direct(&dlx))
        .queue(Queue::quorum(&dlq))
        .binding(Binding::new(&dlx, "dead-letter", &dlq))
        .queue(Queue::quorum(&work).with_dead_letter(&dlx, "dead-letter"))
        .binding(Binding::new(&events, "thing.#", &work));
    for other in others {
        topology = topology.queue(Queue::quorum(*other)).binding(Binding::new(&events, "ours.#", *other));
    }
    let mut config = AmqpConfig::default();
    config.hub.exchange = events;
    let hub = Hub::amqp(url, config).unwrap();
    assert_eq!(hub.declare(&topology).await.unwrap().conflicts, []);
    hub
}

fn prefix() -> String {
    format!("x{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
}

/// What they publish, in each of their ways, is handled by us with all that it says.
async fn theirs_are_handled(client: &Client, url: &str, modes: &[&str]) {
    let prefix = prefix();
    let hub = hub(url, &prefix, &[]).await;
    let mut sent = HashMap::new();
    for mode in modes {
        let kind = format!("thing.done.{mode}");
        for event in client.run(&["publish", url, &format!("{prefix}.events"), &kind, mode]).await {
            sent.insert(event["id"].as_str().unwrap().to_owned(), (kind.clone(), event["data"].clone()));
        }
    }
    assert_eq!(sent.len(), modes.len() * 3);
    let (sender, mut seen) = mpsc::channel::<(Event, Context)>(1_000);
    let (stop, stopped) = oneshot::channel::<()>();
    let handler = move |event: Event, cx: Context| {
        let sender = sender.clone();
        async move {
            let _ = sender.send((event, cx)).await;
            Outcome::Ack
        }
    };
    let work = format!("{prefix}.work");
    let run = hub.consume(&work, ConsumerConfig::default(), handler, async {
        let _ = stopped.await;
    });
    let look = async {
        while !sent.is_empty() {
            let (event, cx) = timeout(SOON, seen.recv()).await.expect("in time").expect("it runs");
            let (kind, data) = sent.remove(event.id.as_str()).expect("each once");
            assert_eq!((event.event_type.as_str(), cx.attempt), (kind.as_str(), 1));
            assert_eq!(event.data::<Value>().unwrap(), data, "{kind}");
            let n = data["n"].as_u64().unwrap();
            assert_eq!(event.subject.as_deref(), Some(format!("subject {n}").as_str()), "{kind}");
            assert_eq!((event.source.as_str(), event.data_version), (client.source, 1), "{kind}");
            assert_eq!(event.time.to_string(), "2026-01-02T03:04:05.6Z", "{kind}");
            assert_eq!(event.partition_key.as_deref(), Some("k"), "{kind}");
            assert_eq!(event.tracestate.as_deref(), Some("vendor=1"), "{kind}");
            let flag = event.extensions.get("comexampleflag").and_then(ExtensionValue::as_text);
            assert_eq!((flag, event.extensions.len()), (Some("yes"), 1), "{kind}");
        }
        drop(stop);
    };
    let (drained, ()) = tokio::join!(run, look);
    drained.unwrap();
    hub.shutdown().await;
}

/// What we publish is read by their JSON parser and by their SDK of CloudEvents, with all that it says.
async fn ours_are_read(client: &Client, url: &str) {
    let prefix = prefix();
    let queues = ["plain", "structured"].map(|mode| format!("{prefix}.{mode}"));
    let hub = hub(url, &prefix, &[&queues[0], &queues[1]]).await;
    let events: Vec<Event> =
        [json!({"text": "größer €uro 🚊\u{1}"}), json!([1, 2.5, null, {}]), json!("just text")]
            .iter()
            .map(|data| {
                let event = Event::new("ours.thing.done", "event-hub", data).unwrap();
                let event = event
                    .with_subject("s")
                    .with_correlation("c-1")
                    .with_causation("c-0")
                    .with_trace(Some("00-12345678901234567890123456789012-1234567890123456-01".into()), None)
                    .with_partition_key("k")
                    .with_version(3);
                event.with_extension("sampledrate", 30).unwrap().with_extension("flag", true).unwrap()
            })
            .collect();
    for answer in hub.publish_all(events.clone()).await {
        let _receipt = answer.unwrap();
    }
    for (mode, queue) in ["plain", "structured"].iter().zip(&queues) {
        let read = client.run(&["read", url, queue, "3", mode]).await;
        assert_eq!(read.len(), 3);
        for (told, event) in read.iter().zip(&events) {
            let mut ours: Value = serde_json::from_slice(&event.to_json()).unwrap();
            let mut theirs = told["event"].clone();
            // A point in time has more than one writing; Python's and JavaScript's clocks are coarser.
            let [at, said] = [&mut ours, &mut theirs].map(|event| {
                let time: jiff::Timestamp = event["time"].take().as_str().unwrap().parse().unwrap();
                time.as_millisecond()
            });
            assert!((at - said).abs() <= 1, "{mode}: {at} {said}");
            assert_eq!(theirs, ours, "{mode}");
            assert_eq!(told["content_type"], "application/cloudevents+json");
            assert_eq!(told["message_id"], event.id.as_str());
            assert_eq!((&told["type"], &told["key"]), (&json!("ours.thing.done"), &json!("ours.thing.done")));
            assert_eq!((&told["app_id"], &told["correlation_id"]), (&json!("event-hub"), &json!("c-1")));
            assert_eq!(
                (&told["timestamp"], &told["delivery_mode"]),
                (&json!(event.time.as_second()), &json!(2))
            );
        }
    }
    hub.shutdown().await;
}

#[tokio::test]
async fn what_pika_publishes_is_handled() {
    let (Some(url), Some(client)) = (devkit::engines::amqp().await, pika()) else { return };
    theirs_are_handled(&client, url, &["plain", "structured", "binary", "amqp"]).await;
}

#[tokio::test]
async fn pika_reads_what_we_publish() {
    let (Some(url), Some(client)) = (devkit::engines::amqp().await, pika()) else { return };
    ours_are_read(&client, url).await;
}

#[tokio::test]
async fn what_amqplib_publishes_is_handled() {
    let (Some(url), Some(client)) = (devkit::engines::amqp().await, amqplib()) else { return };
    theirs_are_handled(&client, url, &["plain", "structured", "binary"]).await;
}

#[tokio::test]
async fn amqplib_reads_what_we_publish() {
    let (Some(url), Some(client)) = (devkit::engines::amqp().await, amqplib()) else { return };
    ours_are_read(&client, url).await;
}
