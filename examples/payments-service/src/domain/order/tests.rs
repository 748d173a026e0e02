//! The contract's rules for a payment, one row each.

use serde_json::json;

use super::*;

fn parse(patch: &Json) -> Result<Order, Problem> {
    let mut body = json!({
        "amount": "12.50", "currency": "EUR", "type": "instant",
        "recipientEmail": "vendor@example.com", "description": "tickets",
    });
    let (Some(body_fields), Some(patch)) = (body.as_object_mut(), patch.as_object()) else { panic!() };
    for (name, value) in patch {
        if value.is_null() {
            body_fields.remove(name);
        } else {
            body_fields.insert(name.clone(), value.clone());
        }
    }
    Order::parse(serde_json::from_value(body).unwrap())
}

#[test]
fn a_good_order_is_taken_as_it_is() {
    let order = parse(&json!({ "recipientEmail": "Vendor@Example.com", "metadata": { "a": 1 } })).unwrap();
    assert_eq!(order.amount.minor, 1_250);
    assert_eq!(order.recipient, Recipient::Email("vendor@example.com".to_owned()));
    let id = Uuid::from_u128(3);
    let order = parse(&json!({ "recipientEmail": null, "recipientId": id })).unwrap();
    assert_eq!(order.recipient, Recipient::Id(id));
}

#[test]
fn each_rule_names_its_place() {
    for (patch, pointer) in [
        (json!({ "amount": "0" }), "/amount"),
        (json!({ "amount": "1.005" }), "/amount"),
        (json!({ "amount": "10000000.01" }), "/amount"),
        (json!({ "amount": "ten" }), "/amount"),
        (json!({ "amount": "1.5", "currency": "JPY" }), "/amount"),
        (json!({ "currency": "eur" }), "/currency"),
        (json!({ "currency": "XXXX" }), "/currency"),
        (json!({ "description": "" }), "/description"),
        (json!({ "description": "   " }), "/description"),
        (json!({ "description": "x".repeat(501) }), "/description"),
        (json!({ "recipientEmail": "nobody" }), "/recipientEmail"),
        (json!({ "recipientEmail": null }), "/recipientEmail"),
        (json!({ "recipientId": Uuid::nil() }), "/recipientId"),
        (json!({ "metadata": [1] }), "/metadata"),
        (json!({ "metadata": { "a": "x".repeat(4_096) } }), "/metadata"),
    ] {
        let problem = parse(&patch).unwrap_err();
        assert_eq!(problem.code(), Code::VALIDATION, "{patch}");
        assert_eq!(problem.errors().iter().map(|e| &*e.pointer).collect::<Vec<_>>(), [pointer], "{patch}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let problem = parse(&json!({ "amount": "-1", "description": "", "recipientEmail": "x" })).unwrap_err();
    assert_eq!(problem.errors().len(), 3);
}

#[test]
fn what_the_scheduler_will_do_is_not_built() {
    for payment_type in ["scheduled", "recurring"] {
        assert_eq!(parse(&json!({ "type": payment_type })).unwrap_err().code(), Code::NOT_IMPLEMENTED);
    }
}
