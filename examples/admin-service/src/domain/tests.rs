//! Tests of what the audit log says of an event.

use serde_json::json;

use super::*;

fn event(event_type: &str, data: &Json) -> Event {
    Event::new(event_type, "/test", data).unwrap()
}

fn user(event_type: &str) -> Event {
    event(
        event_type,
        &json!({
            "userId": Uuid::from_u128(1), "version": 1, "email": "a@example.com", "name": "A", "role": "VENDOR",
            "status": "active", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
        }),
    )
}

#[test]
fn what_names_a_person_is_kept_apart() {
    let fact = Fact::of(&user("auth.user.created")).unwrap();
    assert_eq!(fact.resource_type, ResourceType::User);
    assert_eq!(fact.personal.keys().collect::<Vec<_>>(), ["email", "name"]);
    assert!(!fact.details.contains_key("email") && fact.details.contains_key("role"));
    assert_eq!(fact.person_id, Some(Uuid::from_u128(1)));
}

#[test]
fn what_the_provider_does_is_nobodys_act() {
    let payment = json!({
        "paymentId": Uuid::from_u128(9), "version": 2, "senderId": Uuid::from_u128(1),
        "recipientId": Uuid::from_u128(2), "amount": "1.00", "currency": "EUR", "status": "completed",
        "type": "instant", "description": "for you", "occurredAt": "2026-01-01T00:00:00Z",
    });
    let fact = Fact::of(&event("payments.payment.completed", &payment)).unwrap();
    assert_eq!((fact.user_id, fact.resource_id), (None, Uuid::from_u128(9).to_string()));
    let fact = Fact::of(&event("payments.payment.created", &payment)).unwrap();
    assert_eq!(fact.user_id, Some(Uuid::from_u128(1)));
}

#[test]
fn what_is_not_audited_says_why() {
    assert!(matches!(Fact::of(&event("admin.audit.created", &json!({}))), Err(NoFact::Own)));
    assert!(matches!(Fact::of(&event("admin.config.updated", &json!({}))), Err(NoFact::Own)));
    for unknown in ["stock.item.sold", "admin.magic.done", "payments.payment.lost", "auth.user.renamed"] {
        assert!(matches!(Fact::of(&event(unknown, &json!({}))), Err(NoFact::Unknown)), "{unknown}");
    }
    assert!(matches!(Fact::of(&event("auth.user.created", &json!({}))), Err(NoFact::Payload(_))));
}
