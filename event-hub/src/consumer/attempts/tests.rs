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
