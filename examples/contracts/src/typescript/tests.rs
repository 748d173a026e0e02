//! Nothing is forgotten.

use super::text;

/// Every event type that the payloads' source spells is a key of the map.
#[test]
fn each_event_has_its_data() {
    let text = text();
    let source = include_str!("../payloads.rs");
    let spelled: Vec<&str> = source
        .split('"')
        .filter(|part| {
            part.split('.').count() == 3 && part.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
        })
        .collect();
    assert_eq!(spelled.len(), 15, "{spelled:?}");
    for event_type in spelled {
        assert!(text.contains(&format!("  \"{event_type}\": ")), "{event_type} is missing");
    }
}
