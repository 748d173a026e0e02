//! Tests of topic patterns.

use proptest::prelude::*;

use super::*;

/// The definition, word by word.
fn slow(pattern: &[&str], key: &[&str]) -> bool {
    match pattern.split_first() {
        None => key.is_empty(),
        Some((&"#", rest)) => (0..=key.len()).any(|n| slow(rest, &key[n..])),
        Some((&word, rest)) => key
            .split_first()
            .is_some_and(|(first, others)| (word == "*" || word == *first) && slow(rest, others)),
    }
}

#[test]
fn the_broker_s_own_examples() {
    for (pattern, key, expected) in [
        ("#", "", true),
        ("#", "a.b", true),
        ("*", "", false),
        ("*", "a", true),
        ("a.#", "a", true),
        ("a.#.b", "a.b", true),
        ("a.#.b", "a.x.y.b", true),
        ("a.#.b", "a.x.y", false),
        ("*.orange.*", "quick.orange.rabbit", true),
        ("*.orange.*", "quick.orange.male.rabbit", false),
        ("#.#", "", true),
        ("a", "A", false),
        ("a.*.#", "a", false),
    ] {
        assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
    }
}

proptest! {
    #[test]
    fn agrees_with_the_definition(pattern in "([ab*#](\\.[ab*#]){0,5})", key in "([ab](\\.[ab]){0,5})?") {
        let p: Vec<&str> = words(&pattern);
        let k: Vec<&str> = words(&key);
        prop_assert_eq!(matches(&pattern, &key), slow(&p, &k));
    }
}
