use serde_json::{Value, json};

use super::*;
use crate::envelope::EventId;

fn event() -> Event {
    let mut event = Event::new("orders.order.placed", "shop", &json!({ "n": 1 })).unwrap();
    event.id = EventId::parse("7").unwrap();
    event.time = "2026-11-26T01:02:03.004Z".parse().unwrap();
    event
}

fn sent(mapping: &Mapping, event: &Event) -> (String, Value) {
    let outgoing = mapping.out(event).unwrap().unwrap();
    let body = outgoing.marked(&Via::default().and("me")).unwrap();
    (outgoing.channel().to_owned(), serde_json::from_slice(&body).unwrap())
}

fn came(mapping: &Mapping, channel: &str, body: &str) -> Result<Event, BoxError> {
    let incoming = Incoming { channel, pattern: None, body: body.as_bytes() };
    mapping.back(incoming).map(|event| event.expect("wanted"))
}

#[test]
fn an_event_survives_the_way_out_and_back() {
    let event = event().with_correlation("c").with_causation("d").with_version(3);
    for mapping in [Mapping::cloud_events(), Mapping::base_event()] {
        let (channel, body) = sent(&mapping, &event);
        let back = came(&mapping, &channel, &body.to_string()).unwrap();
        assert_eq!((&back.id, &back.event_type, &back.source), (&event.id, &event.event_type, &event.source));
        assert_eq!((back.time, back.data_version), (event.time, 3));
        assert_eq!((&back.correlation_id, &back.causation_id), (&event.correlation_id, &event.causation_id));
        assert_eq!(back.data.get(), event.data.get());
    }
}

#[test]
fn the_envelope_is_that_of_its_listeners() {
    let metadata = r#"{"userId":"u","tags":["a"]}"#;
    let event = event().with_extension("metadata", metadata).unwrap();
    let (channel, body) = sent(&Mapping::base_event(), &event);
    assert_eq!(channel, "orders.order.placed");
    let expected = json!({
        "id": "7", "type": "orders.order.placed", "version": "1.0", "timestamp": "2026-11-26T01:02:03.004Z",
        "source": "shop", "data": { "n": 1 }, "metadata": { "userId": "u", "tags": ["a"] }, "redisvia": "me",
    });
    assert_eq!(body, expected);
    let back = came(&Mapping::base_event(), &channel, &body.to_string()).unwrap();
    let kept = back.extensions.get("metadata").and_then(|json| json.as_text()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(kept).unwrap(), expected["metadata"]);
    // Text of someone else's is no metadata.
    let event = event.with_extension("metadata", "free text").unwrap();
    assert_eq!(sent(&Mapping::base_event(), &event).1.get("metadata"), None);
}

#[test]
fn an_envelope_that_is_none_is_refused() {
    let mapping = Mapping::base_event();
    for body in [
        "1",
        "{}",
        r#"{"type":"t","data":1}"#,
        r#"{"id":"7","data":1}"#,
        r#"{"id":"7","type":"t"}"#,
        r#"{"id":"","type":"t","data":1}"#,
        r#"{"id":"7","type":"t","data":1,"version":"new"}"#,
        r#"{"id":"7","type":"t","data":1,"timestamp":"yesterday"}"#,
    ] {
        assert!(came(&mapping, "t", body).is_err(), "{body}");
    }
    let least = came(&mapping.with_source("old"), "t", r#"{"id":"7","type":"t","data":null}"#).unwrap();
    assert_eq!((least.source.as_str(), least.data_version, least.data.get()), ("old", 1, "null"));
}

#[test]
fn channels_can_have_names_of_their_own() {
    for mapping in [Mapping::cloud_events(), Mapping::base_event(), Mapping::data()] {
        let mapping = mapping.with_channels(|name| name.replace('.', ":"), |name| name.replace(':', "."));
        let (channel, body) = sent(&mapping, &event());
        assert_eq!(channel, "orders:order:placed");
        assert_eq!(came(&mapping, &channel, &body.to_string()).unwrap().event_type, "orders.order.placed");
    }
}

#[test]
fn data_goes_out_alone_when_it_is_an_object() {
    assert_eq!(sent(&Mapping::data(), &event()).1, json!({ "n": 1, "redisvia": "me" }));
    let number = Event::new("t", "s", &1).unwrap();
    assert!(Mapping::data().out(&number).is_err());
    assert!(Outgoing::object("c", "text").is_err());
    let raw = Outgoing::unmarked("c", "as it is");
    assert_eq!(raw.marked(&Via::default().and("me")).unwrap(), "as it is");
}

#[test]
fn what_has_a_specversion_must_be_an_event() {
    for mapping in [Mapping::cloud_events(), Mapping::base_event(), Mapping::data()] {
        assert!(came(&mapping, "c", r#"{"specversion":"1.0","data":1}"#).is_err());
        assert_eq!(
            came(&mapping, "c", std::str::from_utf8(&event().to_json()).unwrap()).unwrap().id,
            event().id
        );
    }
    assert!(came(&Mapping::data(), "c", "no JSON").is_err());
    assert!(came(&Mapping::data(), "", "1").is_err(), "an event without a type");
}
