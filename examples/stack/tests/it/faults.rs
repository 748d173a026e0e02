//! Real engines and processes, broken on purpose, one after the other on one system.

use devkit::{Service, System};
use reqwest::StatusCode;

use crate::api::{ADMIN, Api, CUSTOMER, VENDOR, text};
use crate::socket::Socket;
use crate::world::{LIMIT, processes, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_things_break() -> anyhow::Result<()> {
    let Some(system) = processes().await? else { return Ok(()) };
    broker_killed_between_two_payments(&system).await?;
    service_killed_between_commit_and_publish(&system).await?;
    redis_stopped(&system).await?;
    upstream_down(&system).await?;
    Ok(())
}

/// The broker dies between two payments: both end up audited, once.
async fn broker_killed_between_two_payments(system: &System) -> anyhow::Result<()> {
    let customer = Api::sign_in(&system.url(), CUSTOMER).await?;
    let before = text(&customer.pay("2.99", VENDOR).await?, "/id")?;
    system.rabbitmq().kill().await;
    let after = text(&customer.pay("3.99", VENDOR).await?, "/id")?;
    system.rabbitmq().restart().await?;
    let admin = Api::sign_in(&system.url(), ADMIN).await?;
    for id in [&before, &after] {
        audited_once(&admin, id).await?;
    }
    // The sockets' feed is back as well.
    let mut socket = Socket::open(&customer).await?;
    let id = text(&customer.pay("4.50", VENDOR).await?, "/id")?;
    socket.event("payments.payment.completed", &id).await?;
    Ok(())
}

/// The broker is cut off, a payment commits, its service is killed with -9 before it could publish: the event still
/// arrives, once.
async fn service_killed_between_commit_and_publish(system: &System) -> anyhow::Result<()> {
    let customer = Api::sign_in(&system.url(), CUSTOMER).await?;
    system.rabbitmq().kill().await;
    let id = text(&customer.pay("5.99", VENDOR).await?, "/id")?;
    system.process(Service::Payments).kill();
    system.rabbitmq().restart().await?;
    system.process(Service::Payments).restart().await?;
    let admin = Api::sign_in(&system.url(), ADMIN).await?;
    audited_once(&admin, &id).await
}

/// Without Redis everything answers but the sockets, whose events are numbered there: none opens, and one that is open
/// hears what happened, or that it missed something, once Redis is back.
async fn redis_stopped(system: &System) -> anyhow::Result<()> {
    // What broke before is whole again: each process finds the broker in its own time.
    let nobody = Api::nobody(&system.url());
    until("all is well again", async || Ok((nobody.get("/health").await?.status == 200).then_some(())))
        .await?;
    let mut socket = Socket::open(&Api::sign_in(&system.url(), CUSTOMER).await?).await?;
    system.redis().stop().await;
    let customer = Api::sign_in(&system.url(), CUSTOMER).await?;
    let id = text(&customer.pay("6.50", VENDOR).await?, "/id")?;
    for path in ["/api/auth/me", "/api/auth/sessions", "/api/payments", "/api/profile", "/health"] {
        customer.get(path).await?.expect(StatusCode::OK)?;
    }
    assert!(Socket::open(&customer).await.is_err(), "nobody could say what it would miss");
    system.redis().restart().await?;
    // The new Redis has other numbers. What came before the gateway was there again, the gap is about.
    let told = |frame: &serde_json::Value| match frame["type"].as_str() {
        Some("event") => frame["event"]["data"]["paymentId"] == id,
        Some("gap") => frame["room"].as_str().is_some_and(|room| room.starts_with("user:")),
        _ => false,
    };
    socket.wait("the payment, or word that something is missing", told).await?;
    until("sockets open again", async || Ok(Socket::open(&customer).await.ok())).await?;
    Ok(())
}

/// A service is down: 502 for its paths, the others answer, and the gateway recovers by itself.
async fn upstream_down(system: &System) -> anyhow::Result<()> {
    let customer = Api::sign_in(&system.url(), CUSTOMER).await?;
    let profile = system.process(Service::Profile);
    profile.kill();
    until("the gateway sees it", async || {
        let answer = customer.get("/api/profile").await?;
        if answer.status == StatusCode::OK {
            Ok(None)
        } else {
            answer.expect_problem(502, "BAD_GATEWAY").map(Some)
        }
    })
    .await?;
    customer.get("/api/payments").await?.expect(StatusCode::OK)?;
    until("the health tells", async || Ok((customer.get("/health").await?.status == 503).then_some(())))
        .await?;
    profile.restart().await?;
    profile.ready(LIMIT).await?;
    until("the gateway recovers", async || {
        Ok((customer.get("/api/profile").await?.status == 200).then_some(()))
    })
    .await
}

async fn audited_once(admin: &Api, id: &str) -> anyhow::Result<()> {
    let mut actions = until("the payment is audited", async || {
        let actions = admin.audited(id).await?;
        Ok((actions.len() >= 2).then_some(actions))
    })
    .await?;
    actions.sort();
    assert_eq!(actions, ["payments.payment.created", "payments.payment.updated"], "{id}");
    Ok(())
}
