//! Tests of the headers.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::handler::Context;
use crate::handler::received::{Origin, Received};
use crate::message::{Headers, Properties, Token};
use crate::schema::Upcasts;

fn delivery() -> Delivery {
    let headers = Headers::from([
        ("x-death".to_owned(), HeaderValue::Number(1)),
        ("x-delivery-count".to_owned(), HeaderValue::Number(2)),
        ("mine".to_owned(), HeaderValue::Text("kept".to_owned())),
        ("CC".to_owned(), HeaderValue::List(vec![HeaderValue::Text("other".to_owned())])),
    ]);
    Delivery {
        message: Arc::new(Message::new(
            "events".into(),
            "a.b".into(),
            Bytes::new().into(),
            Properties::default(),
            headers,
        )),
        queue: "work".into(),
        redelivered: false,
        returns: 2,
        arrived: tokio::time::Instant::now(),
        token: Token { generation: 1, tag: 1 },
    }
}

fn context(delivery: &Delivery) -> Context {
    let origin = Origin { upcasts: Upcasts::default(), lag: metrics::Histogram::noop() };
    Received::new(delivery.clone(), standing(delivery), Arc::new(origin)).context().clone()
}

#[test]
fn what_the_broker_took_back_is_no_attempt() {
    let first = delivery();
    let cx = context(&first);
    assert_eq!((cx.attempt, cx.returns), (1, 2));
    let again = again(&first, 1, "no", ("x".to_owned(), "bits.work".to_owned()));
    assert!(!again.headers().contains_key("x-death") && !again.headers().contains_key("x-delivery-count"));
    assert_eq!(again.text("mine"), Some("kept"));
    assert!(!again.headers().contains_key("CC"), "a copy is for its own queue alone");
    let second = Delivery { message: again.into(), returns: 0, ..first };
    let cx = context(&second);
    assert_eq!((cx.attempt, cx.returns, cx.redelivered), (2, 0, true));
    assert_eq!(cx.routing_key, "a.b");
    assert_eq!(cx.dead_letter, None);
}

#[test]
fn a_dead_letter_keeps_its_story_and_starts_its_own_count() {
    let target = DeadLetter { exchange: "dlx".to_owned(), key: Some("dead-letter".to_owned()) };
    let long = "é".repeat(5000);
    let letter = dead(&delivery(), &target, "handler", 3, ("attempts", &long));
    assert_eq!((&*letter.exchange, letter.key()), ("dlx", "dead-letter"));
    let cx = context(&Delivery { message: letter.into(), returns: 0, queue: "dlq".into(), ..delivery() });
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
    let first = Delivery { message: letter.into(), returns: 0, queue: "dlq".into(), ..delivery() };
    let told = context(&first).dead_letter;
    let mut kept = first;
    for attempt in 1..=4 {
        let cx = context(&kept);
        assert_eq!((cx.attempt, &cx.dead_letter), (attempt, &told));
        let copy =
            again(&kept, cx.attempt, "the keeper's database is busy", ("x".to_owned(), "y".to_owned()));
        kept = Delivery { message: copy.into(), returns: 0, queue: "dlq".into(), ..delivery() };
    }
    assert_eq!(told.and_then(|told| told.error).as_deref(), Some("why it died"));
}

/// A letter that the broker made, by its delivery limit: its marks are the broker's, and a copy carries them as ours.
#[test]
fn a_broker_s_dead_letter_stays_one_when_it_is_tried_again() {
    let mut first = Delivery { queue: "dlq".into(), ..delivery() };
    for (name, text) in [("x-first-death-reason", "delivery_limit"), ("x-first-death-queue", "work")] {
        Arc::make_mut(&mut first.message)
            .headers_mut()
            .insert(name.to_owned(), HeaderValue::Text(text.to_owned()));
    }
    let copy = again(&first, 1, "busy", ("x".to_owned(), "y".to_owned()));
    let info = context(&Delivery { message: copy.into(), returns: 0, queue: "dlq".into(), ..delivery() });
    let info = info.dead_letter.unwrap();
    assert_eq!((info.reason.as_str(), info.queue.as_deref()), ("delivery_limit", Some("work")));
}

fn dlx() -> DeadLetter {
    DeadLetter { exchange: "dlx".to_owned(), key: Some("dead-letter".to_owned()) }
}

/// Someone shovels a letter from the dead letters back into its work queue, with all its headers: it is no dead
/// letter there, it gets its tries again, and when it dies again both deaths are told.
#[test]
fn a_letter_back_in_its_queue_is_alive() {
    let letter = dead(&delivery(), &dlx(), "handler", 8, ("attempts", "broken"));
    let back = Delivery { message: letter.into(), returns: 0, ..delivery() };
    let cx = context(&back);
    assert_eq!((cx.attempt, cx.dead_letter, cx.redelivered), (1, None, false));
    let again = again(&back, 1, "broken still", ("x".to_owned(), "y".to_owned()));
    let back = Delivery { message: again.into(), returns: 0, ..delivery() };
    let cx = context(&back);
    assert_eq!((cx.attempt, cx.dead_letter), (2, None));
    let letter = dead(&back, &dlx(), "handler", 2, ("rejected", "never"));
    let lying = Delivery { message: letter.into(), returns: 0, queue: "dlq".into(), ..delivery() };
    let info = context(&lying).dead_letter.unwrap();
    assert_eq!((info.reason.as_str(), info.attempts, info.redrives), ("rejected", 2, 1));
    assert_eq!(info.previous_reason.as_deref(), Some("attempts"));
    assert_eq!((info.routing_key.as_deref(), info.exchange.as_deref()), (Some("a.b"), Some("events")));
}

fn x_death(entries: &[(&str, &str, u64)]) -> HeaderValue {
    let entry = |(queue, reason, time): &(&str, &str, u64)| {
        let text = |text: &str| HeaderValue::Text(text.to_owned());
        HeaderValue::Table(
            [
                ("queue".to_owned(), text(queue)),
                ("reason".to_owned(), text(reason)),
                ("exchange".to_owned(), text("first")),
                ("routing-keys".to_owned(), HeaderValue::List(vec![text("the.key")])),
                ("time".to_owned(), HeaderValue::Time(*time)),
                ("count".to_owned(), HeaderValue::Number(1)),
            ]
            .into(),
        )
    };
    HeaderValue::List(entries.iter().map(entry).collect())
}

fn lying(queue: &str, entries: &[(&str, &str, u64)]) -> Delivery {
    let mut lying = Delivery { queue: queue.into(), returns: 0, ..delivery() };
    Arc::make_mut(&mut lying.message).headers_mut().insert("x-death".to_owned(), x_death(entries));
    lying
}

/// The broker writes its ladder of delays down as deaths too, and a letter may age where it lies.
#[test]
fn of_the_broker_s_marks_the_last_failure_counts() {
    let ladder = ("tramline.delay.03", "expired", 30);
    assert_eq!(context(&lying("work", &[ladder])).dead_letter, None);
    let died = context(&lying("dlq", &[("work", "delivery_limit", 40), ladder])).dead_letter.unwrap();
    assert_eq!((died.reason.as_str(), died.queue.as_deref()), ("delivery_limit", Some("work")));
    assert_eq!((died.routing_key.as_deref(), died.exchange.as_deref()), (Some("the.key"), Some("first")));
    assert_eq!(died.last_failed_at.map(Timestamp::as_second), Some(40));
    let aged = lying("parked", &[("dlq", "expired", 50), ("work", "rejected", 40)]);
    assert_eq!(context(&aged).dead_letter.unwrap().queue.as_deref(), Some("work"));
    assert_eq!(context(&lying("work", &[("work", "rejected", 40)])).dead_letter, None);
    // A queue that only delays: what comes out of it is alive, and yet a letter where letters are kept.
    let late = lying("work", &[("pause", "expired", 40)]);
    assert_eq!(context(&late).dead_letter, None);
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    assert_eq!(story(&late).unwrap().queue.as_deref(), Some("pause"));
}

/// Our letter, shovelled into another queue and given up by the broker there: that one is the last.
#[test]
fn a_later_death_by_the_broker_counts() {
    let letter = dead(&delivery(), &dlx(), "handler", 8, ("attempts", "broken"));
    let mut lying = Delivery { message: letter.into(), returns: 0, queue: "dlq".into(), ..delivery() };
    Arc::make_mut(&mut lying.message)
        .headers_mut()
        .insert("x-death".to_owned(), x_death(&[("second", "delivery_limit", 1)]));
    let info = context(&lying).dead_letter.unwrap();
    assert_eq!((info.reason.as_str(), info.queue.as_deref()), ("delivery_limit", Some("second")));
    Arc::make_mut(&mut lying.message)
        .headers_mut()
        .insert("x-death".to_owned(), x_death(&[("second", "maxlen", 1)]));
    assert_eq!(context(&lying).dead_letter.unwrap().queue.as_deref(), Some("work"));
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod deaths {
    use super::*;

    fn letter() -> Delivery {
        let letter = dead(&delivery(), &dlx(), "handler", 8, ("attempts", "broken"));
        Delivery { message: letter.into(), returns: 0, queue: "dlq".into(), ..delivery() }
    }

    /// The same letter given out again, moved to the end of its queue, or tried again by its keeper is one death.
    #[test]
    fn one_death_has_one_name() {
        let first = letter();
        let name = death(&first);
        assert!(name.is_some());
        let mut repeated = Delivery { message: first.message.clone(), returns: 3, ..letter() };
        repeated.redelivered = true;
        Arc::make_mut(&mut repeated.message)
            .headers_mut()
            .insert("x-delivery-count".to_owned(), HeaderValue::Number(3));
        assert_eq!(death(&repeated), name);
        let moved = Delivery { message: replace(&first, "other").into(), ..letter() };
        assert_eq!(death(&moved), name);
        let kept = again(&first, 1, "busy", ("x".to_owned(), "y".to_owned()));
        assert_eq!(death(&Delivery { message: kept.into(), ..letter() }), name);
    }

    #[test]
    fn two_deaths_have_two_names() {
        assert_ne!(death(&letter()), death(&letter()));
        let with_id = |mut lying: Delivery| {
            Arc::make_mut(&mut lying.message).parts_mut().properties.message_id = Some("m".into());
            lying
        };
        let first = death(&with_id(lying("dlq", &[("work", "rejected", 40)])));
        assert!(first.is_some());
        assert_ne!(first, death(&with_id(lying("dlq", &[("work", "rejected", 41)]))));
        let mut ours_first = with_id(letter());
        let name = death(&ours_first);
        Arc::make_mut(&mut ours_first.message)
            .headers_mut()
            .insert("x-death".to_owned(), x_death(&[("work", "delivery_limit", 50)]));
        assert_ne!(death(&ours_first), name);
        // Without an id the broker's marks are not enough.
        assert_eq!(death(&lying("dlq", &[("work", "rejected", 40)])), None);
        assert_eq!(death(&Delivery { queue: "dlq".into(), ..delivery() }), None);
    }

    #[test]
    fn a_redrive_begins_anew_and_says_so() {
        let mut message = letter().message;
        revive(Arc::make_mut(&mut message));
        revive(Arc::make_mut(&mut message));
        assert_eq!(message.number(REDRIVES), Some(2));
        assert_eq!(message.text(PREVIOUS), Some("attempts"));
        assert_eq!((message.text("mine"), message.text(KEY)), (Some("kept"), Some("a.b")));
        assert!(LIFE.iter().all(|name| !message.headers().contains_key(*name)));
    }
}
