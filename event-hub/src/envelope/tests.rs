//! Tests of the envelope.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn an_event_comes_back_as_it_was() {
    let event = Event::new("a.b.c", "svc", &json!({"n": 1.50, "s": "é\u{1}"}))
        .unwrap()
        .with_subject("s")
        .with_correlation("c")
        .with_causation("k")
        .with_trace(Some("00-1".into()), Some("x=y".into()))
        .with_partition_key("p")
        .with_version(3);
    let back = Event::from_json(&event.to_json()).unwrap();
    assert_eq!(back.to_json(), event.to_json());
    assert_eq!(back.data.get(), event.data.get());
    assert_eq!(back.time, event.time);
}

#[test]
fn the_wire_has_the_names_of_cloudevents() {
    let event = Event::new("a.b", "svc", &json!({"x": 1})).unwrap().with_partition_key("p");
    let wire: Value = serde_json::from_slice(&event.to_json()).unwrap();
    assert_eq!(wire["specversion"], "1.0");
    assert_eq!(wire["type"], "a.b");
    assert_eq!(wire["datacontenttype"], "application/json");
    assert_eq!(wire["partitionkey"], "p");
    assert_eq!(wire["dataversion"], 1);
    assert_eq!(wire["data"]["x"], 1);
    assert!(wire.get("subject").is_none());
}

#[test]
fn what_is_no_event_is_refused() {
    let good = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": "2026-01-01T00:00:00Z", "data": {}});
    assert!(Event::from_json(good.to_string().as_bytes()).is_ok());
    for (field, value) in [
        ("specversion", json!("0.3")),
        ("id", json!("")),
        ("id", json!("x".repeat(256))),
        ("source", json!("")),
        ("type", json!("")),
        ("type", json!("x".repeat(256))),
        ("time", json!("yesterday")),
        ("datacontenttype", json!("text/xml")),
        ("dataversion", json!(-1)),
    ] {
        let mut bad = good.clone();
        bad[field] = value.clone();
        let error = Event::from_json(bad.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEvent, "{field} = {value}");
    }
    for body in ["", "null", "[]", "{\"specversion\":\"1.0\"}", "\u{feff}{}"] {
        assert!(Event::from_json(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn debug_keeps_the_data_to_itself() {
    let event = Event::new("a.b", "svc", &json!({"email": "someone@example.com"})).unwrap();
    assert!(!format!("{event:?}").contains("example.com"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Event::from_json(&body);
    }

    #[test]
    fn any_text_survives(id in "[ -~]{1,255}", text in ".*") {
        let mut event = Event::new("a.b", "svc", &json!({"t": text})).unwrap().with_subject(text.clone());
        event.id = EventId::parse(id).unwrap();
        let back = Event::from_json(&event.to_json()).unwrap();
        prop_assert_eq!(back.subject.as_deref(), Some(text.as_str()));
        prop_assert_eq!(back.to_json(), event.to_json());
    }
}
