//! The events, on the wire as the contract names them; and what the service makes of its own.

use chassis::args;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::events::data;
use crate::support::{Bench, PASSWORD, SignedIn, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

async fn register(bench: &Bench) -> SignedIn {
    let body = json!({
        "email": "ada@example.com", "password": PASSWORD, "name": "Ada", "transport": "body",
        "device": { "id": "laptop" },
    });
    let call = bench.call("POST", "/api/auth/register").header("x-request-id", "request-7");
    let call = call.header("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01")).from("203.0.113.9");
    SignedIn::of(&call.json(body).send().await, "ada@example.com")
}

#[tokio::test]
async fn a_registration_tells_of_the_user_and_the_sign_in() {
    let bench = Bench::new().await;
    let ada = register(&bench).await;
    // In the outbox before the answer, in this order.
    let outbox = bench.outbox().await;
    let types: Vec<_> = outbox.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["auth.user.created", "auth.user.login"]);

    for stored in &outbox {
        let event = bench.events.wait(stored["type"].as_str().unwrap(), |_| true).await;
        let wire: Value = serde_json::from_slice(&event.to_json()).unwrap();
        assert_eq!(&wire, stored, "what was written is what is sent");
        assert_eq!(
            names(&wire),
            [
                "correlationid",
                "data",
                "datacontenttype",
                "dataversion",
                "id",
                "partitionkey",
                "source",
                "specversion",
                "subject",
                "time",
                "traceparent",
                "type",
            ]
        );
        assert_eq!((&wire["specversion"], &wire["source"]), (&json!("1.0"), &json!("/auth-service")));
        assert_eq!(wire["datacontenttype"], "application/json");
        assert_eq!((&wire["subject"], &wire["partitionkey"]), (&json!(ada.id), &json!(ada.id)));
        assert_eq!(wire["correlationid"], "request-7");
        assert_eq!(wire["dataversion"], 1);
        let parent = wire["traceparent"].as_str().unwrap();
        assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
        assert!(!parent.contains("b7ad6b7169203331"), "the span here, not the caller's");
        assert_eq!(wire["id"].as_str().unwrap().parse::<Uuid>().unwrap().get_version_num(), 7);
    }
    let created = &outbox[0]["data"];
    assert_eq!(
        names(created),
        ["createdAt", "email", "name", "role", "status", "updatedAt", "userId", "version"]
    );
    assert_eq!((&created["userId"], &created["version"]), (&json!(ada.id), &json!(1)));
    assert_eq!((&created["role"], &created["status"]), (&json!("CUSTOMER"), &json!("active")));
    let login = &outbox[1]["data"];
    assert_eq!(names(login), ["at", "deviceId", "ip", "sessionId", "userId"]);
    assert_eq!((&login["sessionId"], &login["deviceId"]), (&json!(ada.session), &json!("laptop")));
    assert_eq!(login["ip"], "203.0.113.9");
}

#[tokio::test]
async fn a_sign_out_tells_of_itself_and_of_the_session() {
    let bench = Bench::new().await;
    let ada = register(&bench).await;
    let call = bench.call("POST", "/api/auth/logout").token(&ada.token).header("x-request-id", "request-8");
    call.send().await;
    let logout = bench.events.wait("auth.user.logout", |_| true).await;
    let revoked = bench.events.wait("auth.session.revoked", |_| true).await;
    assert_eq!(names(&data(&logout)), ["at", "deviceId", "ip", "sessionId", "userId"]);
    assert_eq!(names(&data(&revoked)), ["at", "deviceId", "reason", "sessionId", "userId"]);
    for event in [&logout, &revoked] {
        assert_eq!(event.correlation_id.as_deref(), Some("request-8"));
        assert_eq!(event.partition_key.as_deref(), Some(&*ada.id), "in order with the user's other events");
        assert!(event.traceparent.is_some());
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_kept_is_made() {
    let bench = Bench::new().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    let call = bench.call("POST", "/api/auth/register").header("x-request-id", "not kept: blanks");
    let answer = call.json(body).send().await;
    let id = answer.headers["x-request-id"].to_str().unwrap();
    assert_ne!(id, "not kept: blanks");
    let event = bench.events.wait("auth.user.created", |_| true).await;
    assert_eq!(event.correlation_id.as_deref(), Some(id));
}

async fn activity(bench: &Bench) -> Vec<(String, String, Option<String>, Option<String>)> {
    let sql = "SELECT action, user_id, session_id, reason FROM activity ORDER BY at, action";
    let rows = bench.db.query(sql, args![]).await.unwrap();
    let text = |row: &chassis::db::Row, name| row.get::<Option<Uuid>>(name).unwrap().map(|id| id.to_string());
    rows.iter()
        .map(|row| {
            let user = text(row, "user_id").unwrap();
            (row.get("action").unwrap(), user, text(row, "session_id"), row.get("reason").unwrap())
        })
        .collect()
}

#[tokio::test]
async fn activity_is_written_from_events_once_each() {
    let bench = Bench::new().await;
    let ada = register(&bench).await;
    bench.call("POST", "/api/auth/logout").token(&ada.token).send().await;
    let three = || async { Some(activity(&bench).await).filter(|rows| rows.len() >= 3) };
    let rows = eventually("three rows of activity", three).await;
    let row = |action: &str, reason: Option<&str>| {
        (action.to_owned(), ada.id.clone(), Some(ada.session.clone()), reason.map(str::to_owned))
    };
    let expected = [
        row("auth.user.login", None),
        row("auth.session.revoked", Some("logout")),
        row("auth.user.logout", None),
    ];
    assert_eq!(rows, expected, "the user's creation is no activity");

    // The same event again, as after a crash between commit and ack; then one that is new.
    let login = bench.events.wait("auth.user.login", |_| true).await;
    bench.events.publish(&login).await;
    bench.login(&ada.email, Value::Null).await;
    let four = || async { Some(activity(&bench).await).filter(|rows| rows.len() >= 4) };
    let rows = eventually("one more row", four).await;
    assert_eq!(rows.len(), 4, "{rows:?}");
    let sessions: std::collections::HashSet<_> = rows.iter().map(|row| row.2.clone()).collect();
    assert_eq!(sessions.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_understood_is_a_dead_letter() {
    let bench = Bench::new().await;
    let ada = register(&bench).await;
    let login = bench.events.wait("auth.user.login", |_| true).await;
    let again =
        |data: &Value| tramline_event_hub::Event::new("auth.user.login", "/auth-service", data).unwrap();
    bench.events.publish(&again(&json!({ "userId": "nobody" }))).await;
    bench.events.publish(&again(&data(&login)).with_version(2)).await;
    let dead = || async {
        let stats = bench.shell.hub().queue(contracts::DEAD_LETTER_QUEUE).await.unwrap();
        stats.filter(|stats| stats.messages >= 2)
    };
    eventually("two dead letters", dead).await;
    bench.login(&ada.email, Value::Null).await;
    let rows = || async { Some(activity(&bench).await).filter(|rows| rows.len() >= 2) };
    assert_eq!(eventually("the sign-in after them", rows).await.len(), 2);
}
