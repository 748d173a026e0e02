//! `dead-letters`.

use std::collections::BTreeMap;

use super::*;
use crate::dead_letters::{event, strange::on_rabbit};
use tramline_event_hub::dead_letters::Filter;

on_rabbit!(
    letters_are_drained_listed_shown_redriven_and_deleted,
    drains_killed_in_the_middle_lose_nothing_and_double_nothing,
    redrives_killed_in_the_middle_lose_nothing,
    a_reader_that_has_read_enough_is_no_error,
);

/// Dead letters that wait in their queue.
async fn waiting(bed: &Bed, count: u64) {
    let rejecting = bed.reject("work");
    let events: Vec<_> = (0..count).map(|n| event("orders.order.placed", n)).collect();
    for answer in bed.hub.publish_all(events).await {
        drop(answer.unwrap());
    }
    let dlq = bed.name("dlq");
    let all = async {
        while bed.hub.queue(&dlq).await.unwrap().unwrap().messages < count {
            tokio::task::yield_now().await;
        }
    };
    soon("the dead letters", all).await;
    rejecting.stop().await;
}

async fn letters_are_drained_listed_shown_redriven_and_deleted(bed: Bed, broker: &str) {
    waiting(&bed, 4).await;
    let (database, dlq) = (url(&bed.db), bed.name("dlq"));
    let call = async |arguments: &[&str]| {
        run(&[&["dead-letters", "--broker", broker, "--database", &database], arguments].concat(), "").await
    };
    let ended = call(&["drain", "--queue", "nobody"]).await.with_code(2);
    assert!(ended.err.contains("unknown queue: nobody"), "{}", ended.err);
    let ended = call(&["drain", "--queue", &dlq]).await.with_code(0);
    assert!(ended.err.contains("4 stored, 0 were there already"), "{}", ended.err);

    let listed = call(&["list", "--json", "--limit", "3"]).await.with_code(0);
    let letters = listed.lines();
    assert_eq!(letters.len(), 3);
    assert_eq!((&letters[0]["reason"], &letters[0]["queue"]), (&"rejected".into(), &bed.name("work").into()));
    let cursor = listed.err.trim().rsplit(' ').next().unwrap();
    let rest = call(&["list", "--cursor", cursor]).await.with_code(0);
    assert_eq!(rest.out.lines().count(), 1);
    assert!(rest.out.contains("rejected") && rest.out.contains("no: because"), "{}", rest.out);
    call(&["list", "--cursor", "x"]).await.with_code(64);
    assert_eq!(call(&["list", "--from-queue", "another"]).await.with_code(0).out, "");

    let id = letters[0]["id"].to_string();
    let shown = call(&["show", &id, "--json"]).await.with_code(0).lines().remove(0);
    let body: serde_json::Value = serde_json::from_str(shown["body"].as_str().unwrap()).unwrap();
    assert_eq!((&shown["letter"], &body["id"]), (&letters[0], &letters[0]["event_id"]));
    let shown = call(&["show", &id]).await.with_code(0).out;
    assert!(shown.contains("reason: rejected") && shown.contains("\"specversion\":\"1.0\""), "{shown}");
    call(&["show", "999999"]).await.with_code(1);

    call(&["redrive"]).await.with_code(64);
    call(&["delete"]).await.with_code(64);
    let ended = call(&["redrive", "--id", &id, "--id", "999999", "--json"]).await.with_code(1);
    assert_eq!((&ended.lines()[0]["id"], &ended.lines()[0]["sent"]), (&letters[0]["id"], &true.into()));
    assert!(ended.err.contains("letter 999999: not in the database"), "{}", ended.err);
    let other = letters[1]["event_id"].as_str().unwrap();
    assert!(call(&["delete", "--event", other]).await.with_code(0).err.contains("1 deleted"));
    let ended = call(&["delete", "--id", "999999"]).await.with_code(1);
    assert!(ended.err.contains("0 deleted\nletter 999999: not in the database"), "{}", ended.err);
    let ended = call(&["delete", "--id", "999999", "--json"]).await.with_code(1);
    let told = serde_json::json!({ "deleted": 0, "busy": 0, "unknown": [999_999] });
    assert_eq!(ended.lines(), [told]);
    // Each that stays is named too.
    let stays = letters[2]["id"].to_string();
    let (gone, work) = (bed.name("gone"), bed.name("work"));
    let moved =
        |queue: &str| format!("UPDATE tramline_dead_letters SET queue = '{queue}' WHERE id = {stays}");
    bed.db.execute(&moved(&gone)).await;
    let ended = call(&["redrive", "--id", &stays, "--json"]).await.with_code(1);
    let told = serde_json::json!(
        { "id": letters[2]["id"], "queue": gone, "sent": false, "error": "its queue is gone" }
    );
    assert_eq!(ended.lines(), [told]);
    assert!(ended.err.contains(&format!("letter {stays}: its queue is gone")), "{}", ended.err);
    bed.db.execute(&moved(&work)).await;
    bed.db.execute("UPDATE tramline_dead_letters SET claimed_until = 9000000000000000000").await;
    let ended = call(&["delete", "--all"]).await.with_code(1);
    assert!(ended.err.contains("0 deleted\n2 are in the hands of a redrive"), "{}", ended.err);
    bed.db.execute("UPDATE tramline_dead_letters SET claimed_until = 0").await;
    // Two seconds apart: long enough to be told in between.
    let ended = call(&["redrive", "--all", "--rate", "0.5"]).await.with_code(0);
    assert!(ended.err.contains("2 sent back so far\n2 sent back, 0 left"), "{}", ended.err);
    assert_eq!(call(&["list"]).await.with_code(0).out, "");
    let mut work = bed.acknowledge("work");
    for _ in 0..3 {
        let (event, cx) = work.next().await;
        assert!(event.id.as_str() != other && cx.attempt == 1);
    }
    work.stop().await;
}

/// A process that gets no chance to say goodbye.
async fn drains_killed_in_the_middle_lose_nothing_and_double_nothing(bed: Bed, broker: &str) {
    waiting(&bed, 600).await;
    let (database, dlq) = (url(&bed.db), bed.name("dlq"));
    let arguments = ["dead-letters", "drain", "--queue", &dlq, "--broker", broker, "--database", &database];
    for round in 1..=4 {
        let mut child = command(&arguments).spawn().unwrap();
        let some = async {
            while bed.letters.count(&Filter::new()).await.unwrap() < round * 100 {
                tokio::task::yield_now().await;
            }
        };
        soon("some of it", some).await;
        child.kill().await.unwrap();
    }
    // The broker may take a while to see the last one gone.
    bed.drain(600).await;
    let mut seen = BTreeMap::<String, u32>::new();
    for letter in bed.all().await {
        *seen.entry(letter.event_id.unwrap()).or_default() += 1;
    }
    assert!(seen.len() == 600 && seen.values().all(|times| *times == 1), "{} letters", seen.len());
}

async fn redrives_killed_in_the_middle_lose_nothing(bed: Bed, broker: &str) {
    let dead = bed.dead(300).await;
    let mut work = bed.acknowledge("work");
    let database = url(&bed.db);
    let arguments =
        ["dead-letters", "redrive", "--all", "--rate", "1000", "--broker", broker, "--database", &database];
    for round in 1..=3 {
        let mut child = command(&arguments).spawn().unwrap();
        let some = async {
            while bed.letters.count(&Filter::new()).await.unwrap() > 300 - round * 60 {
                tokio::task::yield_now().await;
            }
        };
        soon("some of it", some).await;
        child.kill().await.unwrap();
        // As if its lease were over.
        bed.db.execute("UPDATE tramline_dead_letters SET claimed_until = 0").await;
    }
    run(&arguments, "").await.with_code(0);
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 0);
    let mut seen = BTreeMap::<_, u32>::new();
    while seen.len() < 300 {
        *seen.entry(work.next().await.0.id).or_default() += 1;
    }
    assert!(dead.iter().all(|event| seen.contains_key(&event.id)));
    work.stop().await;
}

async fn a_reader_that_has_read_enough_is_no_error(bed: Bed, _: &str) {
    bed.dead(3).await;
    let database = url(&bed.db);
    let mut child = command(&["dead-letters", "list", "--database", &database]).spawn().unwrap();
    drop(child.stdout.take());
    let ended = end(child).await.with_code(0);
    assert_eq!(ended.err, "");
}
