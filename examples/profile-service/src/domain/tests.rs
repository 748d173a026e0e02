//! Tests of a profile's rules.

use serde_json::json;

use super::*;

fn change(body: serde_json::Value) -> Result<Change, Problem> {
    serde_json::from_value::<Change>(body).unwrap().parse()
}

fn profile() -> Profile {
    Profile {
        user_id: Uuid::nil(),
        phone: Some("+49 30 1234".to_owned()),
        address: None,
        bio: Some("x".to_owned()),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn absent_leaves_null_clears_and_text_sets() {
    let mut profile = profile();
    let now = Timestamp::from_second(9).unwrap();
    let changed =
        change(json!({ "phone": null, "address": " Rail Street 7 " })).unwrap().apply(&mut profile, now);
    assert_eq!(changed, ["phone", "address"]);
    assert_eq!(
        (profile.phone, profile.address.as_deref(), profile.bio.as_deref()),
        (None, Some("Rail Street 7"), Some("x"))
    );
    assert_eq!(profile.updated_at, now);
}

#[test]
fn what_changes_nothing_is_no_change() {
    let mut profile = profile();
    let changed =
        change(json!({ "bio": "x" })).unwrap().apply(&mut profile, Timestamp::from_second(9).unwrap());
    assert!(changed.is_empty());
    assert_eq!(profile.updated_at, Timestamp::UNIX_EPOCH);
}

#[test]
fn each_rule_names_its_place() {
    for (body, pointer) in [
        (json!({ "phone": "call me" }), "/phone"),
        (json!({ "phone": "" }), "/phone"),
        (json!({ "phone": "1".repeat(41) }), "/phone"),
        (json!({ "address": "x".repeat(301) }), "/address"),
        (json!({ "bio": "x".repeat(1_001) }), "/bio"),
        (json!({ "bio": "a\u{1}" }), "/bio"),
    ] {
        let problem = change(body.clone()).unwrap_err();
        assert_eq!(problem.errors()[0].pointer, pointer, "{body}");
    }
}
