//! Tickets: one use, a short life, and no substitute for a token.

use std::time::Duration;

use tramline_session_sync::TokenError;
use tramline_session_sync::revocation::RevocationEntry;
use tramline_session_sync::tickets::{Tickets, TicketsConfig};

use crate::verifier::Issuer;

pub(crate) fn config(issuer: &Issuer) -> TicketsConfig {
    let mut config = TicketsConfig::default();
    config.clock = issuer.hand.clock();
    config
}

#[tokio::test]
async fn a_ticket_is_good_once_and_for_half_a_minute() {
    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let tickets = Tickets::memory(config(&issuer));
    let token = issuer.token().await;
    let claims = verifier.verify(&token).await.unwrap();
    let keys = issuer.sessions.keys();
    let ticket = tickets.issue(&claims, keys).await.unwrap();
    assert_eq!(ticket.expires_in, 30);
    // It is no access token, and an access token is no ticket.
    let refused = verifier.verify(&ticket.ticket).await;
    assert_eq!(refused, Err(TokenError::Invalid));
    let refused = tickets.redeem(&token, &verifier).await;
    assert_eq!(refused, Err(TokenError::Invalid));

    let redeemed = tickets.redeem(&ticket.ticket, &verifier).await.unwrap();
    assert_eq!(redeemed, claims);
    let again = tickets.redeem(&ticket.ticket, &verifier).await;
    assert_eq!(again, Err(TokenError::Invalid));

    let late = tickets.issue(&claims, keys).await.unwrap();
    issuer.hand.advance(Duration::from_secs(31));
    let refused = tickets.redeem(&late.ticket, &verifier).await;
    assert_eq!(refused, Err(TokenError::Expired));
}

#[tokio::test]
async fn an_ended_session_has_no_tickets() {
    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let tickets = Tickets::memory(config(&issuer));
    let claims = verifier.verify(&issuer.token().await).await.unwrap();
    let ticket = tickets.issue(&claims, issuer.sessions.keys()).await.unwrap();
    let now = issuer.hand.now();
    let until = issuer.sessions.tokens_end(now);
    let entry = RevocationEntry::session(&claims.sub, &claims.sid, now, until);
    verifier.revocations().apply(entry).await.unwrap();
    let refused = tickets.redeem(&ticket.ticket, &verifier).await;
    assert_eq!(refused, Err(TokenError::Revoked));
}

#[tokio::test]
async fn full_marks_refuse_rather_than_forget() {
    let issuer = Issuer::new().await;
    let verifier = issuer.verifier(issuer.ring());
    let mut config = config(&issuer);
    config.capacity = 1;
    let tickets = Tickets::memory(config);
    let claims = verifier.verify(&issuer.token().await).await.unwrap();
    let keys = issuer.sessions.keys();
    let (one, two) =
        (tickets.issue(&claims, keys).await.unwrap(), tickets.issue(&claims, keys).await.unwrap());
    tickets.redeem(&one.ticket, &verifier).await.unwrap();
    let refused = tickets.redeem(&two.ticket, &verifier).await;
    assert_eq!(refused, Err(TokenError::Unavailable));
    let again = tickets.redeem(&one.ticket, &verifier).await;
    assert!(again.is_err());
}
