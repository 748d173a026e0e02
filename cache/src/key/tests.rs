//! Tests of keys.

use proptest::prelude::*;

use super::*;

#[test]
fn text_of_users_cannot_reach_another_key() {
    let key = |space: &str, parts: &[&str]| Key::new(space, parts).unwrap();
    assert_ne!(key("a", &["b", "c"]), key("a", &["b:c"]));
    assert_ne!(key("a", &["b", ""]), key("a", &["b"]));
    assert_ne!(key("a", &["%3A"]), key("a", &[":"]));
    assert_eq!(key("a", &["{x}*\n é"]).as_str(), "a:%7Bx%7D%2A%0A%20%C3%A9");
    assert_eq!(format!("{:?}", key("mail", &["ada@example.com"])), "Key(mail:…)");
}

#[test]
fn odd_spaces_and_long_keys_are_refused() {
    for space in ["", "A", "a:b", "a b", "a{b}", &"a".repeat(33)] {
        assert_eq!(Key::new(space, &["x"]).unwrap_err().kind(), ErrorKind::InvalidKey, "{space}");
    }
    assert!(Key::new("a", &["x".repeat(510)]).is_ok());
    assert!(Key::new("a", &["x".repeat(511)]).is_err());
    assert!(Tag::new("a", &["é".repeat(100)]).is_err());
}

proptest! {
    #[test]
    fn different_parts_are_different_keys(a in prop::collection::vec(".{0,6}", 0..4), b in prop::collection::vec(".{0,6}", 0..4)) {
        prop_assert_eq!(a == b, Key::new("s", &a).unwrap() == Key::new("s", &b).unwrap());
    }
}
