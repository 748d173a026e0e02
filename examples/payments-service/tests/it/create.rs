//! `POST /api/payments`: every rule of the contract's row.

use chassis::testing::answer;
use contracts::Role;
use http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, Place, eventually, order};

on_both_databases! {
    held: the_answer_is_the_payment, pay_before_the_event_of_the_register;
}

async fn the_answer_is_the_payment(app: App) {
    let (alice, bob) = app.alice_and_bob().await;
    let mut body = order(&bob, "12.5");
    body["metadata"] = json!({ "order": 7, "nested": { "b": [1, null], "a": "ä" } });
    body["description"] = json!("  für dich \u{1F600} ");
    body["unknown"] = json!("fields are ignored");
    let made = app.pay(&alice, body).await;
    assert_eq!(made.status, 201, "{}", made.json);
    let mut json = made.json;
    for field in ["id", "createdAt", "updatedAt"] {
        assert!(json[field].is_string(), "{field}");
    }
    assert_eq!(json["createdAt"], json["updatedAt"]);
    let read = app.get(&alice, &format!("/api/payments/{}", json["id"].as_str().unwrap())).await;
    assert_eq!(read.status, 200);
    let mut again = read.json;
    again.as_object_mut().unwrap().remove("transactions").unwrap();
    assert_eq!(again, json, "what was answered is what is read, to the last digit of its times");
    for field in ["id", "createdAt", "updatedAt"] {
        json.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(
        json,
        json!({
            "sender": { "id": alice.id, "name": "alice" }, "recipient": { "id": bob.id, "name": "bob" },
            "amount": "12.50", "currency": "EUR", "type": "instant", "status": "pending",
            "description": "für dich \u{1F600}",
            "metadata": { "order": 7, "nested": { "a": "ä", "b": [1, null] } },
            "failureReason": null, "pspReference": null, "scheduledFor": null, "completedAt": null,
        })
    );
}

#[tokio::test]
async fn a_body_that_breaks_a_rule_is_422_with_its_pointer() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let large = json!({ "text": "x".repeat(4 * 1024) });
    for (field, value, pointer) in [
        ("amount", json!(null), "/amount"),
        ("amount", json!(12.5), "/amount"),
        ("amount", json!(""), "/amount"),
        ("amount", json!("0"), "/amount"),
        ("amount", json!("0.00"), "/amount"),
        ("amount", json!("-1"), "/amount"),
        ("amount", json!("+1"), "/amount"),
        ("amount", json!("1e3"), "/amount"),
        ("amount", json!("1,50"), "/amount"),
        ("amount", json!("1."), "/amount"),
        ("amount", json!(".5"), "/amount"),
        ("amount", json!("1.005"), "/amount"),
        ("amount", json!("10000000.01"), "/amount"),
        ("amount", json!("99999999999999999999999"), "/amount"),
        ("amount", json!("١"), "/amount"),
        ("amount", json!(" 1"), "/amount"),
        ("currency", json!(null), "/currency"),
        ("currency", json!("eur"), "/currency"),
        ("currency", json!("EURO"), "/currency"),
        ("currency", json!("ZZZ"), "/currency"),
        ("currency", json!(978), "/currency"),
        ("type", json!(null), "/type"),
        ("type", json!("later"), "/type"),
        ("recipientEmail", json!(null), "/recipientEmail"),
        ("recipientEmail", json!("nobody"), "/recipientEmail"),
        ("recipientEmail", json!(7), "/recipientEmail"),
        ("recipientId", json!("not-an-id"), "/recipientId"),
        ("recipientId", json!(bob.id), "/recipientId"),
        ("description", json!(null), "/description"),
        ("description", json!(""), "/description"),
        ("description", json!("   "), "/description"),
        ("description", json!("ä".repeat(501)), "/description"),
        ("description", json!("bell\u{7}"), "/description"),
        ("metadata", json!("text"), "/metadata"),
        ("metadata", json!([1]), "/metadata"),
        ("metadata", large, "/metadata"),
    ] {
        let mut body = order(&bob, "12.50");
        body[field] = value.clone();
        let answer = app.pay(&alice, body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, "VALIDATION"),
            "{field} {value}: {}",
            answer.json
        );
        assert_eq!(answer.pointers(), [pointer], "{field} {value}: {}", answer.json);
        if !value.is_null() {
            continue;
        }
        body.as_object_mut().unwrap().remove(field);
        let absent = app.pay(&alice, body).await;
        assert_eq!(absent.pointers(), [pointer], "{field} absent: {}", absent.json);
    }
    assert_eq!(app.payments().await, 0);
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let app = App::held(Place::sqlite()).await;
    let (alice, _) = app.alice_and_bob().await;
    let body = json!({
        "amount": "0", "currency": "EUR", "type": "instant", "description": "", "metadata": 1,
    });
    let answer = app.pay(&alice, body).await;
    let mut pointers = answer.pointers();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/amount", "/description", "/metadata", "/recipientEmail"]);
}

#[tokio::test]
async fn bodies_that_are_no_order_at_all() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let positional = json!(["5.00", "EUR", "instant", bob.email, null, "in the order of the fields", null]);
    for body in [json!([]), json!("x"), json!(null), json!(1), positional] {
        let answer = app.pay(&alice, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "VALIDATION"), "{body}");
        assert_eq!(answer.pointers(), [""], "{body}");
    }
    let send = async |kind: &str, body: String| {
        let request = Request::post("/api/payments")
            .header("authorization", format!("Bearer {}", alice.token))
            .header("content-type", kind)
            .body(body.into())
            .unwrap();
        answer(&app.router, request).await
    };
    for (kind, body, status, code) in [
        ("application/json", "{".to_owned(), 400, "MALFORMED_BODY"),
        ("application/json", String::new(), 400, "MALFORMED_BODY"),
        ("text/plain", order(&bob, "1").to_string(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("application/json", format!("{{\"x\":\"{}\"}}", "x".repeat(64 * 1024)), 413, "BODY_TOO_LARGE"),
    ] {
        let answer = send(kind, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code));
    }
    assert_eq!(app.payments().await, 0);
}

/// At most the currency's digits; above zero and at most 10,000,000; told with all the digits.
#[tokio::test]
async fn money_at_its_edges() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    for (amount, currency, shown) in [
        ("0.01", "EUR", Some("0.01")),
        ("10000000", "EUR", Some("10000000.00")),
        ("10000000.00", "EUR", Some("10000000.00")),
        ("007.5", "EUR", Some("7.50")),
        ("1", "JPY", Some("1")),
        ("10000000", "JPY", Some("10000000")),
        ("1.0", "JPY", None),
        ("10000001", "JPY", None),
        ("0.001", "KWD", Some("0.001")),
        ("0.0001", "KWD", None),
        ("10000000.001", "KWD", None),
    ] {
        let mut body = order(&bob, amount);
        body["currency"] = json!(currency);
        let answer = app.pay(&alice, body).await;
        match shown {
            Some(shown) => {
                assert_eq!(answer.status, 201, "{amount} {currency}: {}", answer.json);
                assert_eq!(answer.json["amount"], shown);
            }
            None => assert_eq!(answer.pointers(), ["/amount"], "{amount} {currency}: {}", answer.json),
        }
    }
}

#[tokio::test]
async fn texts_at_their_edges() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let mut body = order(&bob, "1");
    body["description"] = json!("ä".repeat(500));
    // `{"text":"…"}` is eleven bytes without the text.
    body["metadata"] = json!({ "text": "x".repeat(4 * 1024 - 11) });
    let answer = app.pay(&alice, body.clone()).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    body["metadata"] = json!({ "text": "x".repeat(4 * 1024 - 10) });
    assert_eq!(app.pay(&alice, body).await.pointers(), ["/metadata"]);
}

#[tokio::test]
async fn whom_one_can_pay() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    let to = |field: &str, value: Value| {
        let mut body = order(&bob, "1");
        body.as_object_mut().unwrap().remove("recipientEmail");
        body[field] = value;
        body
    };
    for (field, value, status, code) in [
        ("recipientId", json!(bob.id), 201, ""),
        ("recipientEmail", json!("  BOB@Example.COM "), 201, ""),
        ("recipientId", json!(Uuid::now_v7()), 422, "UNKNOWN_RECIPIENT"),
        ("recipientEmail", json!("nobody@example.com"), 422, "UNKNOWN_RECIPIENT"),
        ("recipientId", json!(alice.id), 422, "SELF_PAYMENT"),
        ("recipientEmail", json!("Alice@example.com"), 422, "SELF_PAYMENT"),
    ] {
        let answer = app.pay(&alice, to(field, value.clone())).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{value}: {}", answer.json);
    }
}

/// The sender's copy comes from the token, so that paying does not wait for `auth.user.created`.
async fn pay_before_the_event_of_the_register(app: App) {
    let bob = app.person("bob", Role::Vendor).await;
    let carol = app.stranger("carol", Role::Customer).await;
    let made = app.pay(&carol, order(&bob, "3")).await;
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(made.json["sender"], json!({ "id": carol.id, "name": "carol" }));
    // And she can be paid back at once.
    let back = app.pay(&bob, order(&carol, "3")).await;
    assert_eq!((back.status.as_u16(), &back.json["recipient"]["name"]), (201, &json!("carol")));
    // What auth tells later is newer than any token.
    let mut told = crate::support::user(&carol, 1);
    told.name = "Carol Smith".to_owned();
    app.tell(&contracts::wrap("/auth-service", &contracts::UserCreated(told)).unwrap()).await;
    let path = format!("/api/payments/{}", made.json["id"].as_str().unwrap());
    eventually("the name of the event is shown", async || {
        app.get(&bob, &path).await.json["sender"]["name"] == "Carol Smith"
    })
    .await;
}

/// Until the scheduler comes these answer 501, whatever else is in the body.
#[tokio::test]
async fn scheduled_and_recurring_come_later() {
    let app = App::held(Place::sqlite()).await;
    let (alice, bob) = app.alice_and_bob().await;
    for kind in ["scheduled", "recurring"] {
        let mut body = order(&bob, "nonsense");
        body["type"] = json!(kind);
        for body in [body, json!({ "type": kind })] {
            for answer in
                [app.pay(&alice, body.clone()).await, app.pay_keyed(&alice, "k", body.clone()).await]
            {
                assert_eq!((answer.status.as_u16(), answer.code()), (501, "NOT_IMPLEMENTED"));
            }
        }
    }
    // The key was not used up by them.
    assert_eq!(app.pay_keyed(&alice, "k", order(&bob, "1")).await.status, 201);
}
