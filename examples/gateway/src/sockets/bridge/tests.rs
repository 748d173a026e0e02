//! The contract's table, row by row.

use serde_json::json;
use tramline_ws_rooms::{Authority, Backplane, Credential, Identity, PeerInfo, Refusal, RoomsConfig};
use uuid::Uuid;

use super::*;

struct Nobody;

impl Authority for Nobody {
    async fn authenticate(&self, _: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        Err(Refusal::unauthenticated())
    }
}

#[tokio::test]
async fn each_event_goes_where_the_contract_says_in_its_order() {
    let bridge = Bridge::new(Rooms::new(RoomsConfig::default(), Nobody, Backplane::memory()), rules());
    let rooms = |event_type: &str, data: &serde_json::Value| -> Vec<String> {
        let event = Event::new(event_type, "/test", data).unwrap();
        bridge.rooms_of(&event).iter().map(ToString::to_string).collect()
    };
    let (a, b, p) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let payment = json!({ "senderId": a, "recipientId": b, "paymentId": p });
    assert_eq!(
        rooms("payments.payment.created", &payment),
        [format!("user:{a}"), format!("user:{b}"), "role:admin".to_owned(), format!("payment:{p}")]
    );
    for name in ["auth.user.login", "auth.user.updated", "auth.session.revoked"] {
        assert_eq!(
            rooms(name, &json!({ "userId": a })),
            [format!("user:{a}"), "role:admin".to_owned()],
            "{name}"
        );
    }
    assert_eq!(rooms("profile.profile.updated", &json!({ "userId": a })), [format!("user:{a}")]);
    assert_eq!(rooms("admin.audit.created", &json!({ "userId": a })), ["role:admin"]);
    assert!(rooms("stock.item.sold", &json!({ "userId": a })).is_empty());
    // Whoever it is about, the admins hear of it.
    assert_eq!(rooms("auth.user.login", &json!("no object")), ["role:admin"]);
}
