//! Tests of names, codes and texts.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn requests_are_read_back(room in "[a-z]{1,9}(:[a-z0-9-]{1,20})?", epoch in ".{0,20}", offset: u64) {
        let request = Request::recover(room, Position::new(epoch, offset));
        let text = request.to_json(Some("7"));
        let Ok(Parsed::Request(id, read)) = Request::parse(&text) else { panic!("{text}") };
        prop_assert_eq!(id, Some("7".into()));
        prop_assert_eq!(read, request);
    }

    #[test]
    fn nothing_breaks_the_reader(text in ".{0,200}") {
        let _ = Request::parse(&text);
        let _ = ServerFrame::parse(&text);
        let _ = RoomId::parse(&text);
    }

    #[test]
    fn reasons_fit_a_close_frame(reason in ".{0,200}") {
        let close = Close::new(4000, reason.clone());
        prop_assert!(close.wire_reason().len() <= 123);
        prop_assert!(reason.starts_with(close.wire_reason()));
    }

    #[test]
    fn ids_in_positions_are_escaped(id in ".{0,40}") {
        let room = RoomId::parse("a").unwrap();
        let text = codec::position(&room, 3, &id);
        let Ok(ServerFrame::Position(moved)) = ServerFrame::parse(text.as_str()) else { panic!("{text:?}") };
        prop_assert_eq!(moved.id, id);
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let text = format!("{{\"type\":\"ping\",\"id\":{}", "[".repeat(60_000));
    assert!(Request::parse(&text).is_err());
    let text = format!("{{\"type\":\"ping\",\"x\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let _ = Request::parse(&text);
}

#[test]
fn secrets_stay_out_of_debug_output() {
    use crate::{Credential, Identity};
    let mut identity = Identity::new("u", "s", jiff::Timestamp::UNIX_EPOCH);
    identity.token = "hush".into();
    let shown = format!("{identity:?} {:?}", Credential::Bearer("hush".into()));
    assert!(!shown.contains("hush"));
}
