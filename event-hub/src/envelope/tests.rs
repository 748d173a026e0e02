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
        .with_version(3)
        .with_extension("sampled", true)
        .unwrap()
        .with_extension("sequence", 7)
        .unwrap()
        .with_extension("dataclass", "é\u{1}")
        .unwrap();
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

#[test]
fn what_others_say_survives() {
    let theirs = json!({
        "specversion": "1.0", "id": "1", "source": "/s?x", "type": "t", "time": "2026-01-01T00:00:00.123456789Z",
        "subject": null, "datacontenttype": "application/vnd.order+json; charset=utf-8",
        "dataschema": "https://example.com/order.json", "sampledrate": 30, "flag": false, "comexampleothervalue": "é",
        "dataversion": "2", "data": [1, null],
    });
    let event = Event::from_json(theirs.to_string().as_bytes()).unwrap();
    assert_eq!((event.data_version, event.subject.as_deref()), (2, None));
    assert_eq!(event.extensions.get("sampledrate"), Some(&ExtensionValue::Integer(30)));
    assert_eq!(event.extensions.len(), 3);
    let back: Value = serde_json::from_slice(&event.to_json()).unwrap();
    let mut expected = theirs;
    expected["dataversion"] = json!(2);
    expected.as_object_mut().unwrap().remove("subject");
    assert_eq!(back, expected);
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    let least = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t"}).to_string();
    let before = Timestamp::now();
    let event = Event::from_json(least.as_bytes()).unwrap();
    assert!(event.time >= before && event.time <= Timestamp::now());
    assert_eq!((event.data.get(), event.data_version), ("null", 1));
    let sent = Timestamp::from_second(1).unwrap();
    let read = read(None, std::iter::empty(), &Bytes::from(least), Some(sent)).unwrap();
    assert_eq!(read.time, sent);
}

#[test]
fn bytes_that_are_json_are_data() {
    let mut wire =
        json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "eyJhIjoxfQ=="});
    let read = |wire: &Value| Event::from_json(wire.to_string().as_bytes());
    assert_eq!(read(&wire).unwrap().data.get(), r#"{"a":1}"#);
    for (field, value) in [
        ("data_base64", json!("AAEC")),
        ("data_base64", json!("eyJhIjoxfQ=")),
        ("data_base64", json!(7)),
        ("datacontenttype", json!("application/octet-stream")),
        ("data", json!({})),
    ] {
        let good = std::mem::replace(&mut wire[field], value.clone());
        assert_eq!(read(&wire).unwrap_err().kind(), ErrorKind::InvalidEvent, "{field} = {value}");
        wire[field] = good;
    }
}

#[test]
fn extensions_are_bounded_and_checked() {
    let mut event = Event::new("a.b", "svc", &1).unwrap();
    for name in ["", "Upper", "with-dash", "with_line", "é", "type", "data", "data_base64", "dataversion"] {
        assert_eq!(event.extensions.insert(name, "x").unwrap_err().kind(), ErrorKind::InvalidEvent, "{name}");
    }
    for n in 0..64 {
        event.extensions.insert(&format!("n{n}"), n).unwrap();
    }
    assert!(event.extensions.insert("onemore", true).is_err());
    event.extensions.insert("n1", "replaced").unwrap();
    assert_eq!(event.extensions.get("n1").and_then(ExtensionValue::as_text), Some("replaced"));
    assert!(event.extensions.insert("n2", "x".repeat(16 * 1024)).is_err());
    event.extensions.insert("n2", "x".repeat(14 * 1024)).unwrap();
    assert!(event.extensions.insert("n3", "x".repeat(4 * 1024)).is_err());
    event.extensions.insert("n2", "small again").unwrap();
    event.extensions.insert("n3", "x".repeat(4 * 1024)).unwrap();
    assert_eq!(Event::from_json(&event.to_json()).unwrap().extensions, event.extensions);
}

#[test]
fn unclear_extensions_are_refused() {
    let head = r#"{"specversion":"1.0","id":"1","source":"s","type":"t""#;
    for more in [
        r#""x":1.5"#,
        r#""x":{}"#,
        r#""x":[]"#,
        r#""x":99999999999999999999"#,
        r#""Bad":1"#,
        r#""x":1,"x":1"#,
        r#""subject":"a","subject":"b""#,
        r#""data":1,"data":2"#,
        r#""subject":5"#,
    ] {
        assert!(Event::from_json(format!("{head},{more}}}").as_bytes()).is_err(), "{more}");
    }
    let many: String = (0..65).map(|n| format!(",\"n{n}\":1")).collect();
    assert!(Event::from_json(format!("{head}{many}}}").as_bytes()).is_err());
}

fn headers(prefix: &str) -> Vec<(String, HeaderRef<'static>)> {
    [
        ("specversion", HeaderRef::Text("1.0")),
        ("id", HeaderRef::Text("7")),
        ("source", HeaderRef::Text("/shop")),
        ("type", HeaderRef::Text("a.b")),
        ("time", HeaderRef::Text("2026-01-02T03:04:05Z")),
        ("partitionkey", HeaderRef::Text("k")),
        ("dataversion", HeaderRef::Text("2")),
        ("sampled", HeaderRef::Flag(true)),
        ("rate", HeaderRef::Number(30)),
        ("at", HeaderRef::Time(0)),
    ]
    .map(|(name, value)| (format!("{prefix}{name}"), value))
    .into()
}

fn read_binary(
    kind: Option<&str>,
    headers: &[(String, HeaderRef<'_>)],
    body: &'static str,
) -> Result<Event, Error> {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), *value));
    read(kind, headers, &Bytes::from_static(body.as_bytes()), None)
}

#[test]
fn binary_mode_is_read_with_every_prefix() {
    for prefix in ["cloudEvents:", "cloudEvents_", "ce-", "CE-", "cloudevents_"] {
        let mut all = headers(prefix);
        all.push(("x-tramline-attempts".to_owned(), HeaderRef::Number(1)));
        // Java's converter says the content type twice.
        all.push((format!("{prefix}datacontenttype"), HeaderRef::Text("application/json")));
        let event = read_binary(Some("application/json"), &all, r#"{"n":1}"#).unwrap();
        assert_eq!(
            (event.id.as_str(), event.event_type.as_str(), event.source.as_str()),
            ("7", "a.b", "/shop")
        );
        assert_eq!(event.time.to_string(), "2026-01-02T03:04:05Z");
        assert_eq!((event.partition_key.as_deref(), event.data_version), (Some("k"), 2));
        assert_eq!(event.data.get(), r#"{"n":1}"#);
        let extensions: Vec<_> =
            event.extensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(extensions, ["at=1970-01-01T00:00:00Z", "rate=30", "sampled=true"]);
    }
}

#[test]
fn binary_times_come_in_three_kinds() {
    for (value, expected) in [
        (HeaderRef::Number(1_500), "1970-01-01T00:00:01.5Z"),
        (HeaderRef::Time(2), "1970-01-01T00:00:02Z"),
        (HeaderRef::Text("1970-01-01T02:00:03+02:00"), "1970-01-01T00:00:03Z"),
    ] {
        let mut all = headers("ce-");
        all[4].1 = value;
        assert_eq!(read_binary(None, &all, "1").unwrap().time.to_string(), expected);
    }
}

#[test]
fn binary_data_that_is_no_json_is_refused() {
    let all = headers("ce-");
    for (kind, body) in [
        (Some("text/plain"), "\"json\""),
        (Some("application/octet-stream"), "1"),
        (Some("application/json"), "{not json"),
        (None, "plain"),
    ] {
        let error = read_binary(kind, &all, body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEvent, "{kind:?} {body}");
    }
    assert_eq!(read_binary(None, &all, "").unwrap().data.get(), "null", "an event without data");
    for (at, value) in [
        (0, HeaderRef::Text("0.3")),
        (1, HeaderRef::Text("")),
        (3, HeaderRef::Number(5)),
        (4, HeaderRef::Text("yesterday")),
        (4, HeaderRef::Time(u64::MAX)),
        (4, HeaderRef::Number(i64::MAX)),
    ] {
        let mut bad = headers("ce-");
        bad[at].1 = value;
        assert!(read_binary(None, &bad, "1").is_err(), "{:?}", bad[at]);
    }
    let mut twice = headers("ce-");
    twice.push(("cloudEvents:id".to_owned(), HeaderRef::Text("8")));
    assert!(read_binary(None, &twice, "1").is_err(), "two ids");
}

#[test]
fn the_content_type_tells_the_mode() {
    let structured = r#"{"specversion":"1.0","id":"1","source":"s","type":"in.the.body"}"#;
    for kind in [
        "application/cloudevents+json",
        "Application/CloudEvents+JSON; charset=UTF-8",
        "application/cloudevents",
    ] {
        // Headers beside a structured body are a copy at best.
        let event = read_binary(Some(kind), &headers("ce-"), structured).unwrap();
        assert_eq!(event.event_type, "in.the.body", "{kind}");
    }
    for kind in
        ["application/cloudevents-batch+json", "application/cloudevents+avro", "application/cloudeventsx"]
    {
        assert!(read_binary(Some(kind), &headers("ce-"), structured).is_err(), "{kind}");
    }
    for kind in [None, Some("application/json"), Some("text/plain"), Some("")] {
        assert_eq!(read_binary(kind, &[], structured).unwrap().event_type, "in.the.body", "{kind:?}");
    }
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

    #[test]
    fn no_headers_make_it_panic(
        names in proptest::collection::vec("(ce-|cloudEvents[:_]|)(specversion|id|type|time|data|é|[a-z]{0,3})", 0..8),
        texts in proptest::collection::vec(".{0,8}", 8),
        numbers in proptest::collection::vec(any::<i64>(), 8),
        kind in proptest::option::of("(application/cloudevents|application/json|)(\\+json|;.*|.{0,3})"),
        body in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let header = |n: usize| match numbers[n] % 4 {
            0 => HeaderRef::Text(&texts[n]),
            1 => HeaderRef::Number(numbers[n]),
            2 => HeaderRef::Time(numbers[n].cast_unsigned()),
            _ => HeaderRef::Flag(true),
        };
        let headers = names.iter().enumerate().map(|(n, name)| (name.as_str(), header(n)));
        let _ = read(kind.as_deref(), headers, &Bytes::from(body), None);
    }

    #[test]
    fn any_event_survives_both_modes(
        texts in proptest::array::uniform8(proptest::option::of(".{0,40}")),
        extensions in proptest::collection::btree_map("x[a-z0-9]{0,10}", any::<(u8, i32, String)>(), 0..10),
        version in any::<u32>(),
        nanos in any::<i64>(),
        number in any::<f64>().prop_filter("JSON has none", |n| n.is_finite()),
    ) {
        let [subject, correlation, causation, parent, state, key, schema, data] = texts;
        let mut event = Event::new("a.b", "svc", &json!({"d": data, "n": number})).unwrap().with_version(version);
        (event.subject, event.correlation_id, event.causation_id) = (subject, correlation, causation);
        (event.traceparent, event.tracestate, event.partition_key) = (parent, state, key);
        event.data_schema = schema;
        event.time = Timestamp::from_nanosecond(nanos.into()).unwrap();
        for (name, (kind, number, text)) in extensions {
            let value = match kind % 3 {
                0 => ExtensionValue::from(text),
                1 => number.into(),
                _ => (number > 0).into(),
            };
            event.extensions.insert(&name, value).unwrap();
        }
        let json = event.to_json();
        let back = Event::from_json(&json).unwrap();
        prop_assert_eq!(&back.to_json(), &json);
        prop_assert_eq!(&back.extensions, &event.extensions);

        // The same attributes as headers.
        let wire: serde_json::Map<String, Value> = serde_json::from_slice(&json).unwrap();
        let headers: Vec<_> = wire
            .iter()
            .filter(|(name, _)| *name != "data" && *name != "datacontenttype")
            .map(|(name, value)| (format!("cloudEvents:{name}"), value))
            .collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), match value {
            Value::Bool(flag) => HeaderRef::Flag(*flag),
            Value::Number(number) => HeaderRef::Number(number.as_i64().unwrap()),
            other => HeaderRef::Text(other.as_str().unwrap()),
        }));
        let body = Bytes::from(event.data.get().to_owned());
        let binary = read(Some("application/json"), headers, &body, None).unwrap();
        prop_assert_eq!(binary.to_json(), json);
    }
}
