//! Handlers: the parts they take, and what their errors mean.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;

use crate::config::ConsumerConfig;
use crate::conformance::{Bed, n, quick, soon, until};
use crate::envelope::Event;
use crate::handler::{Action, Context, Data, ErrorTable, Outcome, Panicked, RawDelivery};

#[derive(Debug, Deserialize, PartialEq)]
struct Number {
    n: u64,
}

/// Which of the table's rules is meant.
#[derive(Debug)]
enum Failure {
    Harmless,
    Later,
    NotMine,
    Passing,
    Useless,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Failure {}

/// A handler takes the parts it asks for. What is not of its shape becomes a dead letter, and is never tried again.
pub async fn handlers_take_what_they_ask_for(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let (sender, mut seen) = mpsc::channel(10);
    let handler = move |Data(number): Data<Number>, event: Event, cx: Context, raw: RawDelivery| {
        let sender = sender.clone();
        async move { sender.send((number, event, cx, raw)).await }
    };
    let _work = bed.consume_with("work", quick(), handler);
    let other = Event::new("a.other", "conformance", &"not a number").expect("a good event");
    let _receipt = bed.hub.publish(&other).await.expect("confirmed");
    let sent = bed.publish("a.b", 7).await;
    let (number, event, cx, raw) = soon("the parts", seen.recv()).await.expect("the consumer runs");
    assert_eq!(number, Number { n: 7 });
    assert_eq!((event.id.clone(), cx.routing_key.as_str(), cx.attempt), (sent.id, "a.b", 1));
    assert_eq!(raw.event().expect("an event").id, event.id);

    let (raw, cx) = bed.next_dead_letter().await;
    let info = cx.dead_letter.expect("it is one");
    assert_eq!(raw.message_id.as_deref(), Some(other.id.as_str()));
    assert_eq!((info.reason.as_str(), info.attempts), ("undecodable", 1));
    assert!(info.error.is_some_and(|error| error.contains("Number")), "the reader's words are kept");
    assert!(seen.try_recv().is_err(), "the handler was not called with it");
}

/// Each error has the outcome that the consumer's table gives it, also a panic.
pub async fn errors_follow_the_table(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let is = |wanted: fn(&Failure) -> bool| {
        move |error: &(dyn std::error::Error + 'static)| {
            crate::handler::find::<Failure>(error).is_some_and(wanted)
        }
    };
    let errors = ErrorTable::new()
        .when("harmless", is(|f| matches!(f, Failure::Harmless)), Action::Ack)
        .when("later", is(|f| matches!(f, Failure::Later)), Action::RetryAfter(Duration::from_millis(200)))
        .when("useless", is(|f| matches!(f, Failure::Useless)), Action::Reject)
        .when("not mine", is(|f| matches!(f, Failure::NotMine)), Action::Return)
        .on::<Panicked>(Action::Reject);
    let config = ConsumerConfig { errors, ..quick() };
    let tries: Arc<[AtomicU32; 6]> = Arc::default();
    let handler = {
        let tries = Arc::clone(&tries);
        move |event: Event| {
            let i = usize::try_from(n(&event)).expect("small");
            let again = tries[i].fetch_add(1, Ordering::SeqCst) > 0;
            async move {
                Err(match i {
                    0 => Failure::Harmless,
                    1..=3 if again => return Ok(Outcome::Ack),
                    1 => Failure::Later,
                    2 => Failure::Passing,
                    3 => Failure::NotMine,
                    4 => Failure::Useless,
                    _ => panic!("on purpose"),
                })
            }
        }
    };
    let mut work = bed.consume_with("work", config, handler);
    for i in 0..6 {
        bed.publish("a.b", i).await;
    }
    let all = || async { tries.iter().map(|n| n.load(Ordering::SeqCst)).eq([1, 2, 2, 2, 1, 1]) };
    until("every outcome", all).await;
    let mut dead = Vec::new();
    for _ in 0..2 {
        let (raw, cx) = bed.next_dead_letter().await;
        let info = cx.dead_letter.expect("it is one");
        assert_eq!((info.reason.as_str(), info.attempts), ("rejected", 1));
        dead.push((n(&raw.event().expect("an event")), info.error.unwrap_or_default()));
    }
    dead.sort();
    assert_eq!(dead[0], (4, "Useless".to_owned()));
    assert_eq!(dead[1], (5, "the handler panicked: on purpose".to_owned()));
    work.stop().await;
    assert!(all().await, "nothing more was tried");
}
