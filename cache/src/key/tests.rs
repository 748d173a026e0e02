//! Tests of keys.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Eq, Hash, PartialEq)]
struct Parts(Vec<String>);

impl CacheKey for Parts {
    fn write(&self, parts: &mut KeyParts) {
        for part in &self.0 {
            parts.push(part);
        }
    }
}

fn key(parts: &[&str]) -> String {
    written(&Parts(parts.iter().map(|part| (*part).to_owned()).collect()))
}

#[test]
fn text_of_users_cannot_reach_another_key() {
    assert_ne!(key(&["b", "c"]), key(&["b:c"]));
    assert_ne!(key(&["b", ""]), key(&["b"]));
    assert_ne!(key(&["%3A"]), key(&[":"]));
    assert_eq!(key(&["{x}*\n é"]), ":%7Bx%7D%2A%0A%20%C3%A9");
    assert_eq!(written(&(7_u64, "a".to_owned())), ":7:a");
    assert_eq!(format!("{:?}", Tag::new("mail", &"ada@example.com")), "Tag(mail:…)");
    assert_ne!(Tag::new("a:b", &"c"), Tag::new("a", &("b".to_owned(), "c".to_owned())));
    assert_ne!(Tag::of("a"), Tag::new("a", &""));
}

#[test]
fn nothing_is_a_part_of_its_own() {
    let keys =
        [Some(""), None, Some("!"), Some("%21")].map(|part| written(&(part.map(str::to_owned), 7_u64)));
    assert_eq!(keys, [":", ":!", ":%21", ":%2521"].map(|part| format!("{part}:7")));
}

#[test]
fn what_is_long_is_hashed_and_stays_itself() {
    let long = "x".repeat(255);
    assert_eq!(key(&[&long]), format!(":{long}"));
    let (a, b) = (key(&[&"x".repeat(256)]), key(&[&"é".repeat(5_000)]));
    assert!(a.starts_with(":#") && a.len() == 66 && b.len() == 66 && a != b, "{a} {b}");
    let [x, y] = ["x", "y"].map(|last| key(&[&"x".repeat(256), last]));
    assert_ne!(x, y, "all of it counts");
    // What a hash looks like cannot be typed.
    assert_ne!(key(&[a.trim_start_matches(':')]), a);
}

proptest! {
    #[test]
    fn different_parts_are_different_keys(
        a in prop::collection::vec(".{0,90}", 0..4),
        b in prop::collection::vec(".{0,6}", 0..4),
    ) {
        prop_assert_eq!(a == b, written(&Parts(a)) == written(&Parts(b)));
    }
}
