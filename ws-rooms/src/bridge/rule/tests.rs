//! Rules, and the rooms that they make of events.

use serde_json::json;

use super::*;

fn rooms(rule: &BridgeRule, data: &Value) -> Vec<String> {
    let event = Event::new("a.b", "/test", data).unwrap();
    rule.rooms(&event).iter().map(ToString::to_string).collect()
}

#[test]
fn fields_name_rooms_in_order() {
    let rule = BridgeRule::new("a.*", ["user:{to}", "all", "{kind}:{n}", "user:{from}"]).unwrap();
    assert!(rule.matches("a.b") && !rule.matches("a") && !rule.matches("a.b.c"));
    let data = json!({"to": "ada", "from": "bob", "kind": "k", "n": 7});
    assert_eq!(rooms(&rule, &data), ["user:ada", "all", "k:7", "user:bob"]);
    // What is missing, or no name, leaves its room out and no other.
    let data = json!({"to": "a da", "from": null, "kind": ["k"], "n": 1.5});
    assert_eq!(rooms(&rule, &data), ["all"]);
    assert_eq!(rooms(&rule, &json!({"to": ""})), ["all"]);
    assert_eq!(rooms(&rule, &json!("no object")), ["all"]);
}

/// A value is a part of a name, and not a way to another one's room.
#[test]
fn a_field_may_hold_colons_as_a_name_may() {
    let rule = BridgeRule::new("#", ["user:{to}"]).unwrap();
    assert_eq!(rooms(&rule, &json!({"to": "a:b"})), ["user:a:b"]);
    assert_eq!(rooms(&rule, &json!({"to": ":b"})), [""; 0]);
}

#[test]
fn rules_that_mean_nothing_are_refused() {
    for room in ["", "user:", "user:{", "user:{}", "user:}", "user:{a{b}", "us er:{a}", ":{a}"] {
        let error = BridgeRule::new("#", [room]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{room}");
    }
    assert_eq!(BridgeRule::new("", ["a"]).unwrap_err().kind(), ErrorKind::Config);
    assert!(BridgeRule::new("#", ["{a}", "{a}{b}", "x{a}y"]).is_ok());
}
