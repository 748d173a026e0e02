//! How sockets begin by ticket, and how all of them end when the system goes.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, timeout};
use tramline_ws_rooms::client::{Client, Options};

use crate::api::{Api, CUSTOMER, VENDOR, text};
use crate::socket::{Socket, ws};
use crate::world::{Embedded, LIMIT};

/// A ticket from the auth service opens one socket at the gateway, and no second one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_one_socket() -> anyhow::Result<()> {
    let system = Embedded::start(&[]).await?;
    let customer = Api::sign_in(&system.url, CUSTOMER).await?;
    let answer = customer.post("/api/auth/ws-ticket", &json!({})).await?.expect(StatusCode::OK)?;
    assert!((1..=30).contains(&answer["expiresIn"].as_u64().unwrap_or_default()), "{answer}");
    let url = format!("{}?ticket={}", ws(&system.url), text(&answer, "/ticket")?);
    let mut socket = Client::connect(&url, Options::default()).await?;
    let welcome: Value = serde_json::from_str(&socket.next_text().await?.expect("a welcome"))?;
    assert_eq!(welcome["userId"], customer.user_id);
    assert!(Client::connect(&url, Options::default()).await.is_err(), "used");
    // Neither is a ticket a token.
    let mut thief = customer.clone();
    thief.token = Some(text(&answer, "/ticket")?);
    thief.get("/api/auth/me").await?.expect_problem(401, "UNAUTHENTICATED")?;
    system.stop().await
}

/// A drain in the middle of traffic: every socket hears goodbye, 4200 and when to come back; the process is done
/// within its limit, with the exit code of one that was asked to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_sends_every_socket_away() -> anyhow::Result<()> {
    let system = Embedded::start(&[]).await?;
    let customer = Api::sign_in(&system.url, CUSTOMER).await?;
    let vendor = Api::sign_in(&system.url, VENDOR).await?;
    let mut sockets = Vec::new();
    for user in [&customer, &vendor, &customer] {
        sockets.push(Socket::open(user).await?);
    }
    customer.pay("9.50", VENDOR).await?;
    let started = Instant::now();
    let leaving = tokio::spawn(system.stop());
    for socket in sockets {
        let (seen, code) = timeout(LIMIT, socket.read_to_end()).await??;
        assert_eq!(code, 4200);
        let goodbye = seen.last().expect("a goodbye");
        assert_eq!((&goodbye["type"], &goodbye["code"]), (&json!("goodbye"), &json!(4200)));
        assert!(goodbye["retryAfterMs"].as_u64().is_some_and(|wait| wait <= 5_000), "{goodbye}");
    }
    leaving.await??;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    Ok(())
}
