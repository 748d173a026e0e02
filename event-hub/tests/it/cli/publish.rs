//! `publish`.

use serde_json::json;

use super::*;
use crate::dead_letters::event;

/// Each line is answered for; a bad one does not stop the others, and the exit code says that there was one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_answered() {
    let Some(broker) = devkit::engines::amqp().await else { return };
    let bed = Bed::rabbit(Database::sqlite().await.unwrap(), broker).await;
    let exchange = bed.name("events");
    let whole = event("orders.order.placed", 1);
    let short = json!({ "type": "orders.order.paid", "source": "shell", "data": { "n": 2 }, "id": "given", "subject": "7" });
    let mut lines = vec![
        String::from_utf8(whole.to_json().to_vec()).unwrap(),
        short.to_string(),
        "{not json".to_owned(),
        String::new(),
        json!({ "type": "orders.order.paid", "data": 1 }).to_string(),
        json!({ "type": "orders.order.paid", "source": "x", "data": 1, "colour": "red" }).to_string(),
        json!({ "specversion": "0.3", "type": "a", "source": "b", "id": "c", "data": 1 }).to_string(),
        "[1]".to_owned(),
        // The last line has no end, and its number is large.
        r#"{"type":"orders.order.late","source":"shell","data":{"n":3,"exact":0.1000}}"#.to_owned(),
    ];
    let arguments = ["publish", "--broker", broker, "--exchange", &exchange, "--json"];
    let ended = run(&arguments, &lines.join("\n")).await.with_code(1);
    let answers = ended.lines();
    let line = |number: u64| answers.iter().find(|answer| answer["line"] == number);
    for number in [1, 2, 9] {
        assert_eq!(line(number).unwrap()["confirmed"], true, "{}", ended.out);
    }
    for number in [3, 5, 6, 7, 8] {
        assert_eq!(line(number).unwrap()["confirmed"], false, "{}", ended.out);
        assert!(ended.err.contains(&format!("line {number}: ")), "{}", ended.err);
    }
    assert_eq!((answers.len(), line(4)), (8, None));
    assert!(ended.err.contains("3 confirmed, 5 not"), "{}", ended.err);

    let mut work = bed.consume("work", |_, _| tramline_event_hub::Outcome::Ack);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(work.next().await.0);
    }
    let by = |kind: &str| seen.iter().find(|event| event.event_type == kind).unwrap();
    assert_eq!(by("orders.order.placed").to_json(), whole.to_json());
    let paid = by("orders.order.paid");
    assert_eq!(
        (paid.id.as_str(), paid.source.as_str(), paid.subject.as_deref()),
        ("given", "shell", Some("7"))
    );
    assert!(by("orders.order.late").data.get().contains("0.1000"), "the data as it was given");

    // What nobody wants is said in one line: the driver's own log would print its data.
    let (nobody, dlx) =
        (json!({ "type": "nobody.wants.this", "source": "x", "data": 4711 }), bed.name("dlx"));
    let ended =
        run(&["publish", "--broker", broker, "--exchange", &dlx], &nobody.to_string()).await.with_code(1);
    assert_eq!(ended.err, "line 1: returned: 312 NO_ROUTE (key nobody.wants.this)\n0 confirmed, 1 not\n");

    lines.retain(|line| line.contains("orders.order.placed"));
    let ended = run(&arguments[..5], &lines.join("\n")).await.with_code(0);
    assert_eq!(ended.out, "", "quiet without --json");
    work.stop().await;
}

/// Nothing is sent to it, so that nobody is told that something may have arrived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_is_not_there_is_said() {
    let Some(broker) = devkit::engines::amqp().await else { return };
    let exchange = crate::support::name();
    let line = json!({ "type": "a.b", "source": "shell", "data": 1 }).to_string();
    let ended = run(&["publish", "--broker", broker, "--exchange", &exchange], &line).await.with_code(2);
    assert!(ended.err.contains(&format!("there is no exchange {exchange}")), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_wants_is_not_confirmed() {
    let Some(broker) = devkit::engines::amqp().await else { return };
    let bed = Bed::rabbit(Database::sqlite().await.unwrap(), broker).await;
    let exchange = bed.name("dlx");
    let line = json!({ "type": "nobody.wants.this", "source": "shell", "data": 1 }).to_string();
    // By the address in the environment, where no option says another.
    let mut child =
        command(&["publish", "--exchange", &exchange]).env("RABBITMQ_URL", broker).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(line.as_bytes()).await.unwrap();
    drop(stdin);
    let ended = end(child).await.with_code(1);
    assert!(ended.err.contains("line 1: returned: 312"), "{}", ended.err);
}
