//! Tests of [`Message`].

use serde_json::json;

use super::*;

/// A memory hub does not write and read what it passes on: nobody may see the difference.
#[test]
fn an_event_that_is_passed_on_is_the_one_that_would_be_read() {
    let plain = Event::new("a.b", "tests", &json!({ "n": 1.5, "text": "ä\u{0}\"" })).unwrap();
    let mut full = plain
        .clone()
        .with_subject("orders/1")
        .with_correlation("correlation")
        .with_trace(Some("00-1-2-01".to_owned()), Some("vendor=1".to_owned()))
        .with_partition_key("key")
        .with_version(3)
        .with_extension("sampled", true)
        .unwrap();
    full.causation_id = Some("cause".to_owned());
    full.data_schema = Some("https://example.org/order".to_owned());
    let mut long = full.clone().with_correlation("c".repeat(300)).with_trace(Some("0".repeat(600)), None);
    long.partition_key = None;
    for event in [plain, full, long] {
        let exchange = Text::from("events");
        let passed = Message::passing(Arc::new(event.clone()), &exchange);
        let written = Message::of(&event, &exchange);
        assert_eq!(passed.event().unwrap().to_json(), written.event().unwrap().to_json());
        assert_eq!(passed.body.bytes(), written.body.bytes());
        let seen = |message: &Message| {
            let texts = [Some(message.key()), message.id(), message.kind(), message.correlation_id()];
            let headers =
                [message.traceparent(), message.text("traceparent"), message.text("x-tramline-reason")];
            format!("{texts:?} {headers:?} {:?}", message.number("x-tramline-attempts"))
        };
        // Both before and after its parts are made.
        assert!(passed.is_fresh() && !written.is_fresh());
        assert_eq!(seen(&passed), seen(&written));
        assert_eq!(format!("{:?}", passed.properties()), format!("{:?}", written.properties()));
        assert_eq!(passed.headers(), written.headers());
        assert_eq!(seen(&passed), seen(&written));
        let (mut passed, mut written) = (Message::passing(event.into(), &exchange), written);
        passed.address("elsewhere".into(), "other".into());
        written.address("elsewhere".into(), "other".into());
        assert_eq!(seen(&passed), seen(&written), "moved");
        passed.headers_mut().insert("x-tramline-attempts".to_owned(), HeaderValue::Number(2));
        written.headers_mut().insert("x-tramline-attempts".to_owned(), HeaderValue::Number(2));
        assert_eq!(seen(&passed), seen(&written), "with a history");
    }
}

/// Another JSON than plain is written and read.
#[test]
fn an_event_of_another_json_is_the_same_too() {
    let mut event = Event::new("a.b", "tests", &json!({ "n": 1 })).unwrap();
    event.data_content_type = Some("application/vnd.order+json".to_owned());
    let exchange = Text::from("events");
    let passed = Message::passing(Arc::new(event.clone()), &exchange);
    assert!(!passed.is_fresh());
    assert_eq!(passed.event().unwrap().to_json(), event.to_json());
}

/// Fields are free for all to set: what a broker's reader refuses is refused here too.
#[test]
fn what_a_reader_refuses_is_not_passed_on() {
    let good = Event::new("a.b", "tests", &json!({})).unwrap();
    let with = |change: &dyn Fn(&mut Event)| {
        let mut event = good.clone();
        change(&mut event);
        let exchange = Text::from("events");
        let written = Message::of(&event, &exchange).event().map(|event| event.to_json());
        (Message::passing(Arc::new(event), &exchange).event().map(|event| event.to_json()), written)
    };
    for change in [
        &|event: &mut Event| event.data_content_type = Some("text/plain".to_owned()),
        &|event: &mut Event| event.source = String::new(),
        &|event: &mut Event| event.source = "s".repeat(256),
    ] as [&dyn Fn(&mut Event); 3]
    {
        let (passed, written) = with(change);
        assert!(passed.is_err() && written.is_err(), "{passed:?} {written:?}");
    }
    let (passed, written) = with(&|event| event.data_content_type = Some("application/json".to_owned()));
    assert_eq!(passed.unwrap(), written.unwrap());
}
