//! `POST /ws-ticket`.

use std::sync::Arc;

use http::StatusCode;
use tramline_session_sync::{
    KeyRing, KeyRingConfig, KeySource, Revocations, Store, TokenError, Verifier, VerifierConfig,
};

use crate::support::{Bench, Setup, refusal};

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let bench = Bench::new().await;
    let ada = bench.register("ada").await;
    let answer = bench.call("POST", "/api/auth/ws-ticket").token(&ada.token).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert!((29..=30).contains(&answer.json["expiresIn"].as_u64().unwrap()));
    let ticket = answer.json["ticket"].as_str().unwrap();
    assert_eq!(refusal(&bench.me(ticket).await), (401, "UNAUTHENTICATED"), "a ticket is no token");

    // As the gateway does it.
    let store = Store::sqlite(bench.db.as_sqlite().unwrap().clone());
    let ring = KeyRing::open(&store, &bench.key_file, KeyRingConfig::default()).await.unwrap();
    let verifier = Verifier::new(VerifierConfig::default(), KeySource::ring(ring), Revocations::default());
    let tickets = bench.tickets.as_ref().unwrap();
    let claims = tickets.redeem(ticket, &verifier).await.unwrap();
    assert_eq!((&*claims.sub, &*claims.sid, &*claims.role), (&*ada.id, &*ada.session, "CUSTOMER"));
    assert_eq!(tickets.redeem(ticket, &verifier).await.map(Arc::unwrap_or_clone), Err(TokenError::Invalid));
}

#[tokio::test]
async fn without_a_place_to_mark_them_there_are_none() {
    let bench = Bench::with(Setup { tickets: false, ..Setup::default() }).await;
    let ada = bench.register("ada").await;
    let ask = |token: Option<&str>| {
        let call = bench.call("POST", "/api/auth/ws-ticket");
        token.map_or_else(|| bench.call("POST", "/api/auth/ws-ticket"), |token| call.token(token)).send()
    };
    assert_eq!(refusal(&ask(None).await), (401, "UNAUTHENTICATED"), "strangers learn nothing");
    assert_eq!(refusal(&ask(Some(&ada.token)).await), (503, "UNAVAILABLE"));
}
