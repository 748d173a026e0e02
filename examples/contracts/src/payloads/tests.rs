//! The payloads beside the contract's words.

use super::*;
use crate::event::wrap;

#[test]
fn an_event_is_written_as_the_contract_has_it() {
    let at: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
    let user_id = Uuid::from_u128(7);
    let event = wrap(
        "/auth-service",
        &SessionRevoked {
            user_id,
            session_id: Uuid::from_u128(8),
            device_id: None,
            reason: RevokeReason::Others,
            at,
        },
    )
    .unwrap();
    assert_eq!(event.event_type, "auth.session.revoked");
    assert_eq!(event.partition_key.as_deref(), Some(&*user_id.to_string()));
    let data: serde_json::Value = event.data().unwrap();
    assert_eq!(
        data,
        serde_json::json!({
            "userId": user_id,
            "sessionId": Uuid::from_u128(8),
            "deviceId": null,
            "reason": "others",
            "at": "2026-11-25T10:00:00Z",
        })
    );
}

#[test]
fn created_and_updated_carry_the_user_itself() {
    let at: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
    let user = UserChanged {
        user_id: Uuid::from_u128(1),
        version: 3,
        email: "a@example.com".to_owned(),
        name: "A".to_owned(),
        role: Role::Vendor,
        status: UserStatus::Active,
        created_at: at,
        updated_at: at,
    };
    let event = wrap("/auth-service", &UserUpdated(user.clone())).unwrap();
    assert_eq!(event.event_type, "auth.user.updated");
    assert_eq!(event.data::<UserChanged>().unwrap(), user);
    let keys: Vec<String> =
        event.data::<serde_json::Map<String, serde_json::Value>>().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["createdAt", "email", "name", "role", "status", "updatedAt", "userId", "version"]);
}

#[test]
fn a_payment_tells_which_state_it_entered() {
    for status in PaymentStatus::ALL {
        let event = PaymentEvent::entering(*status).event_type();
        assert!(event.starts_with("payments.payment."));
    }
    assert_eq!(PaymentEvent::entering(PaymentStatus::Processing).event_type(), "payments.payment.updated");
}
