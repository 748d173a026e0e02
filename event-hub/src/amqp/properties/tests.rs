//! Tests of sizes.

use std::collections::BTreeMap;

use super::*;

/// What is measured is what is written, to the byte.
#[test]
fn the_size_of_a_header_frame_is_exact() {
    let text = |text: &str| HeaderValue::Text(text.to_owned());
    let table = BTreeMap::from([("a".to_owned(), HeaderValue::Number(7)), ("bc".to_owned(), text("é"))]);
    let headers = Headers::from([
        ("text".to_owned(), text("some text")),
        ("raw".to_owned(), HeaderValue::Raw(vec![0xff])),
        ("flag".to_owned(), HeaderValue::Flag(true)),
        ("float".to_owned(), HeaderValue::Float(0.5)),
        ("decimal".to_owned(), HeaderValue::Decimal { scale: 2, value: 7 }),
        ("time".to_owned(), HeaderValue::Time(7)),
        ("bytes".to_owned(), HeaderValue::Bytes(vec![1, 2, 3])),
        ("list".to_owned(), HeaderValue::List(vec![HeaderValue::Void, HeaderValue::Table(table)])),
    ]);
    let some = |text: &str| -> Option<Text> { Some(text.into()) };
    let full = Properties {
        message_id: some("id"),
        kind: some("a.b"),
        app_id: some("test"),
        correlation_id: some("because"),
        content_type: some("application/json"),
        content_encoding: some("none"),
        reply_to: some("me"),
        priority: Some(3),
        timestamp: Some(7),
        lane: 0,
    };
    for (headers, properties) in [(Headers::new(), Properties::default()), (headers, full)] {
        let message = Message::new("e".into(), "k".into(), Bytes::new().into(), properties, headers);
        let measured = header_size(&message);
        let properties = outgoing(message, 1).properties;
        let written = lapin::protocol::basic::gen_properties(&properties)(Vec::new().into()).unwrap();
        // Before them: class, weight, and the body's size.
        assert_eq!(measured, 2 + 2 + 8 + written.write.len());
    }
}
