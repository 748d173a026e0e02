//! Tests of the headers.

use bytes::Bytes;

use super::*;
use crate::message::{Properties, Token};

fn delivery() -> Delivery {
    let headers = Headers::from([
        ("x-death".to_owned(), HeaderValue::Number(1)),
        ("x-delivery-count".to_owned(), HeaderValue::Number(2)),
        ("mine".to_owned(), HeaderValue::Text("kept".to_owned())),
    ]);
    Delivery {
        message: Message {
            exchange: "events".to_owned(),
            key: "a.b".to_owned(),
            body: Bytes::new(),
            properties: Properties::default(),
            headers,
            lineage: None,
        },
        queue: "work".to_owned(),
        redelivered: false,
        returns: 2,
        token: Token { generation: 1, tag: 1 },
    }
}

#[test]
fn attempts_add_up_what_we_and_the_broker_counted() {
    let first = delivery();
    assert_eq!(context(&first).attempt, 3);
    let again = again(&first, 3, "no", ("x".to_owned(), "bits.work".to_owned()));
    assert!(!again.headers.contains_key("x-death") && !again.headers.contains_key("x-delivery-count"));
    assert_eq!(again.text("mine"), Some("kept"));
    let second = Delivery { message: again, returns: 0, ..first };
    let cx = context(&second);
    assert_eq!((cx.attempt, cx.routing_key.as_str(), cx.redelivered), (4, "a.b", true));
    assert_eq!(cx.dead_letter, None);
}

#[test]
fn a_dead_letter_keeps_its_story_and_starts_its_own_count() {
    let target = DeadLetter { exchange: "dlx".to_owned(), key: Some("dead-letter".to_owned()) };
    let long = "é".repeat(5000);
    let letter = dead(&delivery(), &target, "handler", 3, ("attempts", &long));
    assert_eq!((letter.exchange.as_str(), letter.key.as_str()), ("dlx", "dead-letter"));
    let cx = context(&Delivery { message: letter, returns: 0, ..delivery() });
    assert_eq!((cx.attempt, cx.routing_key.as_str()), (1, "a.b"));
    let info = cx.dead_letter.unwrap();
    assert_eq!((info.reason.as_str(), info.attempts), ("attempts", 3));
    assert_eq!(info.queue.as_deref(), Some("work"));
    assert_eq!(info.error.unwrap().len(), 4096);
    assert!(info.first_failed_at.is_some() && info.first_failed_at == info.last_failed_at);
}

/// Whoever keeps dead letters fails at one for a while: what is told of the letter is still how it died, and only the
/// keeper's own count grows.
#[test]
fn a_failure_at_a_dead_letter_is_not_its_story() {
    let target = DeadLetter { exchange: "dlx".to_owned(), key: None };
    let letter = dead(&delivery(), &target, "handler", 3, ("attempts", "why it died"));
    let first = Delivery { message: letter, returns: 0, queue: "dlq".to_owned(), ..delivery() };
    let told = context(&first).dead_letter;
    let mut kept = first;
    for attempt in 1..=4 {
        let cx = context(&kept);
        assert_eq!((cx.attempt, &cx.dead_letter), (attempt, &told));
        let copy =
            again(&kept, cx.attempt, "the keeper's database is busy", ("x".to_owned(), "y".to_owned()));
        kept = Delivery { message: copy, returns: 0, queue: "dlq".to_owned(), ..delivery() };
    }
    assert_eq!(told.and_then(|told| told.error).as_deref(), Some("why it died"));
}

/// A letter that the broker made, by its delivery limit: its marks are the broker's, and a copy carries them as ours.
#[test]
fn a_broker_s_dead_letter_stays_one_when_it_is_tried_again() {
    let mut first = delivery();
    for (name, text) in [("x-first-death-reason", "delivery_limit"), ("x-first-death-queue", "work")] {
        first.message.headers.insert(name.to_owned(), HeaderValue::Text(text.to_owned()));
    }
    let copy = again(&first, 1, "busy", ("x".to_owned(), "y".to_owned()));
    let info = context(&Delivery { message: copy, returns: 0, ..delivery() }).dead_letter.unwrap();
    assert_eq!((info.reason.as_str(), info.queue.as_deref()), ("delivery_limit", Some("work")));
}
