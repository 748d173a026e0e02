//! One payment from the click to every open tab, a session ended from another: the same journey on both kinds of
//! engines.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, CUSTOMER, VENDOR, text};
use crate::parties;
use crate::socket::Socket;
use crate::world::{Embedded, processes, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journey_on_embedded_engines() -> anyhow::Result<()> {
    let system = Embedded::start(&[]).await?;
    journey(&system.url).await?;
    system.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journey_on_real_engines() -> anyhow::Result<()> {
    let Some(system) = processes().await? else { return Ok(()) };
    journey(&system.url()).await?;
    for (service, status) in system.stop().await {
        anyhow::ensure!(status.is_some_and(|status| status.success()), "{service:?} ended with {status:?}");
    }
    Ok(())
}

async fn journey(url: &str) -> anyhow::Result<()> {
    let customer = Api::sign_in(url, CUSTOMER).await?;
    let vendor = Api::sign_in(url, VENDOR).await?;
    let admin = Api::sign_in(url, ADMIN).await?;
    let mut at_customer = Socket::open(&customer).await?;
    let mut at_vendor = Socket::open(&vendor).await?;
    let mut at_admin = Socket::open(&admin).await?;

    let payment = pay_once(&customer).await?;
    let id = text(&payment, "/id")?;
    for name in ["created", "updated", "completed"] {
        let name = format!("payments.payment.{name}");
        let at_sender = at_customer.event(&name, &id).await?;
        assert_eq!(at_sender["room"], format!("user:{}", customer.user_id));
        let at_recipient = at_vendor.event(&name, &id).await?;
        assert_eq!(at_recipient["room"], format!("user:{}", vendor.user_id));
        assert_eq!(at_sender["event"]["id"], at_recipient["event"]["id"], "one event, not two");
        assert_eq!(at_admin.event(&name, &id).await?["room"], "role:admin");
    }
    read_back(&customer, &vendor, &id).await?;
    reported(&customer, &vendor, &admin, &payment).await?;
    audited_once(&admin, &mut at_admin, &id).await?;
    one_trace(&mut at_customer, &payment, &id).await?;
    rooms_are_guarded(&mut at_vendor, &mut at_customer, &id).await?;
    parties::enter_and_nobody_else(url).await?;
    live(&mut at_admin).await?;
    end_the_other_session(url, &customer).await?;
    renew(url).await
}

/// The same key twice is one payment.
async fn pay_once(customer: &Api) -> anyhow::Result<Value> {
    let body = json!({
        "amount": "12.50", "currency": "EUR", "type": "instant",
        "recipientEmail": "Vendor@Example.com", "description": "two tickets", "metadata": { "line": 7 },
    });
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("idempotency-key", "journey"), ("traceparent", trace), ("x-request-id", "journey-1")];
    let first = customer.send(Method::POST, "/api/payments", &headers, Some(&body)).await?;
    assert_eq!(first.headers["x-request-id"], "journey-1");
    let first = first.expect(StatusCode::CREATED)?;
    let again = customer.send(Method::POST, "/api/payments", &headers, Some(&body)).await?;
    assert_eq!(again.expect(StatusCode::CREATED)?, first);
    assert_eq!(first["status"], "pending");
    assert_eq!(first["recipient"]["name"], "Vera Vendor");
    Ok(first)
}

async fn read_back(customer: &Api, vendor: &Api, id: &str) -> anyhow::Result<()> {
    for party in [customer, vendor] {
        let payment = party.get(&format!("/api/payments/{id}")).await?.expect(StatusCode::OK)?;
        assert_eq!(payment["status"], "completed");
        assert_eq!(payment["amount"], "12.50");
        let states: Vec<_> =
            payment["transactions"].as_array().into_iter().flatten().map(|t| &t["status"]).collect();
        assert_eq!(states, ["pending", "processing", "completed"]);
        let list = party.get("/api/payments?limit=1&status=completed").await?.expect(StatusCode::OK)?;
        assert_eq!(list["items"][0]["id"], id);
    }
    Ok(())
}

/// The day's sums have it once in each of its states, for the vendor and for the admin, and are kept until the next one's.
async fn reported(customer: &Api, vendor: &Api, admin: &Api, payment: &Value) -> anyhow::Result<()> {
    let day = &text(payment, "/createdAt")?[..10];
    let path = format!("/api/payments/reports?from={day}&currency=EUR");
    customer.get(&path).await?.expect_problem(403, "FORBIDDEN")?;
    vendor.get(&format!("{path}&to=2100-01-01")).await?.expect_problem(422, "VALIDATION")?;
    for who in [vendor, admin] {
        let first = who.get(&path).await?;
        assert_eq!(first.headers["server-timing"], "cache;desc=miss", "nobody has asked before");
        kept(who, &path, day, (1, "12.50")).await?;
    }
    customer.pay("7.50", VENDOR).await?;
    for who in [vendor, admin] {
        kept(who, &path, day, (2, "20.00")).await?;
    }
    Ok(())
}

/// Waits until a report has all three states with these payments, and comes from the cache: each event of a payment ends
/// what was kept of it before.
async fn kept(who: &Api, path: &str, day: &str, (payments, amount): (u64, &str)) -> anyhow::Result<()> {
    let expected = ["completed", "pending", "processing"].map(|status| {
        json!({
            "day": day, "currency": "EUR", "status": status, "type": "instant",
            "payments": payments, "amount": amount,
        })
    });
    until("the whole report is kept", async || {
        let answer = who.get(path).await?;
        let hit = answer.headers["server-timing"] == "cache;desc=hit";
        let report = answer.expect(StatusCode::OK)?;
        Ok((hit && report["items"] == json!(expected)).then_some(()))
    })
    .await
}

async fn audited_once(admin: &Api, at_admin: &mut Socket, id: &str) -> anyhow::Result<()> {
    for action in ["created", "updated", "completed"] {
        let action = format!("payments.payment.{action}");
        at_admin
            .wait("the audit of the payment", |frame| {
                frame["event"]["type"] == "admin.audit.created"
                    && frame["event"]["data"]["resourceId"] == id
                    && frame["event"]["data"]["action"] == action.as_str()
            })
            .await?;
    }
    // Replicas and handlers share the queue: each is recorded once, and two that came together in either order.
    let mut audited = admin.audited(id).await?;
    audited.sort_unstable();
    assert_eq!(
        audited,
        ["payments.payment.completed", "payments.payment.created", "payments.payment.updated"]
    );
    Ok(())
}

/// From the request through outbox, hub and rooms: the trace and the request's id are on the event.
async fn one_trace(at_customer: &mut Socket, payment: &Value, id: &str) -> anyhow::Result<()> {
    let created = at_customer.event("payments.payment.created", id).await?;
    let traceparent = text(&created, "/event/traceparent")?;
    assert_eq!(traceparent.split('-').nth(1), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(created["event"]["correlationid"], "journey-1");
    assert_eq!(created["event"]["specversion"], "1.0");
    assert_eq!(created["event"]["data"]["senderId"], payment["sender"]["id"]);
    Ok(())
}

/// A party may join the payment's room; nobody may join another's; the connection stays.
async fn rooms_are_guarded(at_vendor: &mut Socket, at_customer: &mut Socket, id: &str) -> anyhow::Result<()> {
    at_vendor.send(json!({ "type": "subscribe", "id": "p", "room": format!("payment:{id}") })).await?;
    let answer = at_vendor.wait("an answer", |frame| frame["id"] == "p").await?;
    assert_eq!(answer["type"], "subscribed", "{answer}");
    let rooms = ["role:admin", "system:live", "user:01900000-0000-7000-8000-000000000000", "nonsense"];
    for room in rooms.into_iter().map(str::to_owned).chain([format!("payment:{}", uuid::Uuid::now_v7())]) {
        at_customer.send(json!({ "type": "subscribe", "id": room, "room": room })).await?;
        let answer = at_customer.wait("an answer", |frame| frame["id"] == room.as_str()).await?;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("FORBIDDEN")), "{room}");
    }
    at_customer.send(json!({ "type": "ping" })).await?;
    at_customer.wait("pong", |frame| frame["type"] == "pong").await?;
    Ok(())
}

/// An admin may look at the system itself.
async fn live(at_admin: &mut Socket) -> anyhow::Result<()> {
    at_admin.send(json!({ "type": "subscribe", "id": "live", "room": "system:live" })).await?;
    let sample =
        at_admin.wait("a live sample", |frame| frame["event"]["type"] == "system.live.sampled").await?;
    let data = &sample["event"]["data"];
    assert!(data["sockets"]["connections"].as_u64() >= Some(3), "{data}");
    assert!(data["hops"].as_array().is_some_and(|hops| hops.len() == 4), "{data}");
    Ok(())
}

/// List the sessions, end the other one: its socket closes with 4009, its token is refused everywhere.
async fn end_the_other_session(url: &str, customer: &Api) -> anyhow::Result<()> {
    let other = Api::sign_in(url, CUSTOMER).await?;
    let at_other = Socket::open(&other).await?;
    let list = customer.get("/api/auth/sessions").await?.expect(StatusCode::OK)?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let current: Vec<_> = items.iter().filter(|s| s["current"] == true).map(|s| &s["id"]).collect();
    assert_eq!(current, [&json!(customer.session_id)]);
    assert!(items.iter().any(|session| session["id"] == other.session_id.as_str()));

    let path = format!("/api/auth/sessions/{}", other.session_id);
    customer.send(Method::DELETE, &path, &[], None).await?.expect(StatusCode::NO_CONTENT)?;
    assert_eq!(at_other.closed().await?, 4009);
    // The socket heard it by the gateway's feed; each service hears it by its own.
    for path in ["/api/auth/me", "/api/payments", "/api/profile"] {
        until("the token is refused", async || {
            let answer = other.get(path).await?;
            if answer.status == StatusCode::OK {
                return Ok(None);
            }
            answer.expect_problem(401, "TOKEN_REVOKED").map(Some)
        })
        .await?;
    }
    let stranger = Api::sign_in(url, VENDOR).await?;
    let path = format!("/api/auth/sessions/{}", customer.session_id);
    stranger.send(Method::DELETE, &path, &[], None).await?.expect_problem(404, "NOT_FOUND")?;
    customer.get("/api/auth/me").await?.expect(StatusCode::OK)?;
    Ok(())
}

/// A refresh token is used once; its theft ends the session and closes the socket.
async fn renew(url: &str) -> anyhow::Result<()> {
    let mut customer = Api::sign_in(url, CUSTOMER).await?;
    let stolen = customer.refresh_token.clone();
    for _ in 0..2 {
        let body = json!({ "refreshToken": customer.refresh_token });
        let grant = customer.post("/api/auth/refresh", &body).await?.expect(StatusCode::OK)?;
        customer.take(&grant)?;
    }
    let socket = Socket::open(&customer).await?;
    let answer = customer.post("/api/auth/refresh", &json!({ "refreshToken": stolen })).await?;
    answer.expect_problem(401, "REFRESH_REUSED")?;
    assert_eq!(socket.closed().await?, 4009);
    let answer =
        customer.post("/api/auth/refresh", &json!({ "refreshToken": customer.refresh_token })).await?;
    answer.expect_problem(401, "INVALID_REFRESH")?;
    Ok(())
}
