//! Events of other versions, and of other senders.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::conformance::{Bed, quick};
use crate::envelope::{CONTENT_TYPE, Event, ExtensionValue};
use crate::handler::Outcome;
use crate::message::{HeaderValue, Headers, Message, Properties};
use crate::schema::Upcasts;

/// A type that every bed's hub knows in three versions.
const ORDER: &str = "orders.order.placed";

/// What every bed's hub knows.
pub(super) fn known_versions() -> Upcasts {
    Upcasts::new().step(ORDER, 1, |v1: Value| json!({"order": {"number": v1["n"]}})).try_step(
        ORDER,
        2,
        |mut v2: Value| match v2["order"]["number"].as_u64() {
            Some(number) => {
                v2["text"] = json!(format!("order {number}"));
                Ok(v2)
            }
            None => Err("an order without a number"),
        },
    )
}

/// A handler of the newest version gets events of every version.
pub async fn old_versions_reach_new_handlers(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let mut work = bed.consume("work", quick(), async |_, _| Outcome::Ack);
    for (version, data) in [
        (1, json!({"n": 7})),
        (2, json!({"order": {"number": 7}})),
        (3, json!({"order": {"number": 7}, "text": "order 7"})),
    ] {
        let event = Event::new(ORDER, "conformance", &data).expect("a good event").with_version(version);
        let _receipt = bed.hub.publish(&event).await.expect("confirmed");
        let (seen, _) = work.next().await;
        assert_eq!((&seen.id, seen.data_version), (&event.id, 3));
        let data: Value = seen.data().expect("JSON");
        assert_eq!(data, json!({"order": {"number": 7}, "text": "order 7"}));
    }
}

/// A version that is newer than what is known, and one whose step fails, are dead letters at once, as they came.
pub async fn unknown_versions_become_dead_letters(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let mut work = bed.consume("work", quick(), async |_, _| Outcome::Ack);
    for (version, reason, words) in [
        (9, "unknown_version", "orders.order.placed of version 9, known are 1 to 3"),
        (2, "undecodable", "the step from version 2 to 3: an order without a number"),
    ] {
        let event = Event::new(ORDER, "conformance", &json!({"new": true})).expect("a good event");
        let event = event.with_version(version);
        let _receipt = bed.hub.publish(&event).await.expect("confirmed");
        let (raw, cx) = bed.next_dead_letter().await;
        let info = cx.dead_letter.expect("it is one");
        assert_eq!((info.reason.as_str(), info.attempts), (reason, 1));
        assert!(info.error.as_deref().is_some_and(|error| error.contains(words)), "{:?}", info.error);
        assert_eq!(raw.body, event.to_json());
    }
    work.nothing().await;
}

/// Headers and a body are an event too, and stay one through a retry; one of another specification is a dead
/// letter.
pub async fn binary_cloudevents_are_handled(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let mut work = bed.consume("work", quick(), async |_, cx| match cx.attempt {
        1 => Outcome::Retry { reason: "once more".to_owned() },
        _ => Outcome::Ack,
    });
    for prefix in ["cloudEvents:", "cloudEvents_", "ce-"] {
        let send = bed.hub.send_raw(binary(bed, prefix, "1.0"));
        send.await.expect("confirmed");
        for attempt in 1..=2 {
            let (event, cx) = work.next().await;
            assert_eq!((event.id.as_str(), cx.attempt), ("7", attempt));
            assert_eq!((event.source.as_str(), event.event_type.as_str()), ("/elsewhere", "a.b"));
            assert_eq!((event.time.as_second(), event.data.get()), (1_700_000_000, r#"{"n":1}"#));
            assert_eq!(event.extensions.get("sampled"), Some(&ExtensionValue::Flag(true)));
            assert_eq!(event.extensions.get("rate"), Some(&ExtensionValue::Integer(30)));
        }
    }
    let mut structured = binary(bed, "ce-", "1.0");
    structured.parts_mut().properties.content_type = Some(CONTENT_TYPE.into());
    structured.body =
        Bytes::from_static(br#"{"specversion":"0.3","id":"1","source":"s","type":"t","data":1}"#).into();
    for message in [binary(bed, "ce-", "0.3"), structured] {
        let send = bed.hub.send_raw(message);
        send.await.expect("confirmed");
        let (_, cx) = bed.next_dead_letter().await;
        let info = cx.dead_letter.expect("it is one");
        assert_eq!((info.reason.as_str(), info.attempts), ("undecodable", 1));
        assert!(info.error.as_deref().is_some_and(|error| error.contains("0.3")), "{:?}", info.error);
    }
    work.nothing().await;
}

fn binary(bed: &Bed, prefix: &str, version: &str) -> Message {
    let text = |text: &str| HeaderValue::Text(text.to_owned());
    let headers: Headers = BTreeMap::from([
        (format!("{prefix}specversion"), text(version)),
        (format!("{prefix}id"), text("7")),
        (format!("{prefix}source"), text("/elsewhere")),
        (format!("{prefix}type"), text("a.b")),
        (format!("{prefix}time"), HeaderValue::Time(1_700_000_000)),
        (format!("{prefix}sampled"), HeaderValue::Flag(true)),
        (format!("{prefix}rate"), HeaderValue::Number(30)),
    ]);
    let properties = Properties { content_type: Some("application/json".into()), ..Properties::default() };
    let body = Bytes::from_static(br#"{"n":1}"#).into();
    Message::new(bed.name("events").into(), "a.b".into(), body, properties, headers)
}
