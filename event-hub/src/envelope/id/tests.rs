//! Tests of [`EventId`].

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;

#[test]
fn a_new_one_is_a_uuid_of_now() {
    let (one, other) = (EventId::random(), EventId::random());
    assert_ne!(one, other);
    let uuid = Uuid::parse_str(one.as_str()).unwrap();
    assert_eq!((uuid.get_version_num(), uuid.to_string()), (7, one.to_string()));
}

#[test]
fn what_is_no_id_is_refused() {
    assert!(EventId::parse("").is_err());
    assert!(EventId::parse("i".repeat(256)).is_err());
    assert!(EventId::parse("i".repeat(255)).is_ok());
}

proptest! {
    /// However it is kept, it is the text that it was made of.
    #[test]
    fn it_is_its_text(one in ".{1,60}", other in "[ab]{35,37}", third in "\\PC{36}") {
        let texts: Vec<String> = [one, other, third].into_iter().filter(|text| text.len() <= 255).collect();
        let ids: Vec<EventId> = texts.iter().map(|text| EventId::parse(text.as_str()).unwrap()).collect();
        for (id, text) in ids.iter().zip(&texts) {
            prop_assert_eq!(id.as_str(), text.as_str());
            prop_assert_eq!(serde_json::to_string(id).unwrap(), serde_json::to_string(text).unwrap());
            prop_assert_eq!(&String::from(id.clone()), text);
        }
        for (a, b) in ids.iter().zip(&texts).flat_map(|a| ids.iter().zip(&texts).map(move |b| (a, b))) {
            prop_assert_eq!(a.0.cmp(b.0), a.1.cmp(b.1));
            prop_assert_eq!(a.0 == b.0, a.1 == b.1);
        }
        let (ordered, hashed): (BTreeSet<_>, HashSet<_>) = (ids.iter().collect(), ids.iter().collect());
        prop_assert_eq!((ordered.len(), hashed.len()), {
            let all: HashSet<_> = texts.iter().collect();
            (all.len(), all.len())
        });
    }
}
