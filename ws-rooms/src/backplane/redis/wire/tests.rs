use proptest::prelude::*;

use super::*;

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

proptest! {
    /// Ids may hold anything, newlines and blanks included.
    #[test]
    fn a_body_reads_as_it_was_written(
        id in "(?s).{1,40}",
        rooms in prop::collection::hash_set("[a-z]{1,6}(:[A-Za-z0-9._-]{1,6}){0,2}", 1..5),
        data in "(?s).{0,80}",
    ) {
        let rooms: Vec<RoomId> = rooms.iter().map(|name| room(name)).collect();
        let event = serde_json::json!({"id": id, "data": data}).to_string();
        let written = Publication::new(id.as_str(), rooms.clone(), &event).unwrap();
        let body = body(&written);
        prop_assert!((body.len()..body.len() + 24).contains(&size(&written)), "{} {}", body.len(), size(&written));
        let read = read_body(&body).unwrap();
        prop_assert_eq!((read.id(), read.rooms(), read.event()), (id.as_str(), &rooms[..], event.as_str()));
    }

    #[test]
    fn nothing_that_comes_in_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), cut in 0_usize..60) {
        let _ = (read_body(&bytes), read(&bytes));
        let whole = Publication::new("i d", vec![room("a:1"), room("b")], "{}").unwrap();
        let mut message = b"E 7f 12 ".to_vec();
        message.extend(body(&whole));
        let cut = cut.min(message.len());
        message.splice(cut..cut, bytes);
        if let Some(Message { what: What::Event(body), .. }) = read(&message) {
            let _ = read_body(body);
        }
    }
}

#[test]
fn messages_say_where_and_what() {
    let publication = Publication::new("e 1", vec![room("a")], r#"{"n":1}"#).unwrap();
    let message = [b"E 7f 12 ", &body(&publication)[..]].concat();
    let read_back = read(&message).unwrap();
    assert_eq!(read_back.at, Position::new("7f", 12));
    let What::Event(body) = read_back.what else { panic!("an event") };
    assert_eq!(read_body(body).unwrap().event(), r#"{"n":1}"#);
    for (text, reason) in
        [("source", GapReason::Source), ("slow", GapReason::Slow), ("trimmed", GapReason::Trimmed)]
    {
        let message = format!("G 7f 13 {text}\n");
        let told = read(message.as_bytes()).unwrap();
        assert!(matches!(told.what, What::Gap(told) if told == reason), "{text}");
    }
    for strange in ["", "E", "E a b c", "X 7f 1 x", "G 7f 1 why\n", "E 7f -1 x"] {
        assert!(read(strange.as_bytes()).is_none(), "{strange:?}");
    }
}
