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
    assert_eq!(written(&('{', '\n')), ":%7B:%0A");
    assert_eq!(format!("{:?}", Tag::new("mail", &"ada@example.com")), "Tag(mail:…)");
    assert_ne!(Tag::new("a:b", &"c"), Tag::new("a", &("b".to_owned(), "c".to_owned())));
    assert_ne!(Tag::of("a"), Tag::new("a", &""));
}

#[test]
fn nothing_is_a_part_of_its_own() {
    let keys =
        [Some(""), None, Some("!"), Some("%21")].map(|part| written(&(part.map(str::to_owned), 7_u64)));
    assert_eq!(keys, [":", ":!", ":%21", ":%2521"].map(|part| format!("{part}:7")));
    let nested =
        [None, Some(None), Some(Some(None)), Some(Some(Some(true)))].map(|part| written(&(part, 7_u64)));
    assert_eq!(nested, [":!", ":!!", ":!!!", ":true"].map(|part| format!("{part}:7")));
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

#[test]
fn one_value_has_a_key() {
    assert_eq!(written(&()), ":");
    assert_ne!(written(&((), 7_u8)), written(&7_u8));
    assert_ne!(written(&(Some(()), 7_u8)), written(&(None::<()>, 7_u8)));
    assert_ne!(Tag::new("kind", &()), Tag::of("kind"));
}

/// Those that mean something in a key, and two that do not.
fn letter() -> impl Strategy<Value = char> {
    prop::sample::select(vec![':', '!', '#', '%', 'a', 'é'])
}

proptest! {
    #[test]
    fn parts_of_any_type_are_told_apart(
        a in (any::<bool>(), 0..12_usize, letter(), prop::option::of(letter()), "[:!%]{0,2}", -3..3_isize),
        b in (any::<bool>(), 0..12_usize, letter(), prop::option::of(letter()), "[:!%]{0,2}", -3..3_isize),
    ) {
        prop_assert_eq!(a == b, written(&a) == written(&b));
        // As few as there can be: they are the same now and then.
        let [few_a, few_b] = [&a, &b].map(|all| (all.0, all.1 / 6, all.3.map(|_| ()), ()));
        prop_assert_eq!(few_a == few_b, written(&few_a) == written(&few_b));
        let [one_a, one_b] = [(a.2, a.3), (b.2, b.3)];
        prop_assert_eq!(one_a == one_b, written(&one_a) == written(&one_b));
    }

    #[test]
    fn different_parts_are_different_keys(
        a in prop::collection::vec(".{0,90}", 0..4),
        b in prop::collection::vec(".{0,6}", 0..4),
    ) {
        prop_assert_eq!(a == b, written(&Parts(a)) == written(&Parts(b)));
    }
}
