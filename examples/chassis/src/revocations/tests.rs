//! Tests of the feed, the loader and their readiness.

use contracts::{RevokeReason, Role, UserChanged, wrap};
use tokio::time::timeout;
use tramline_event_hub::Hub;
use tramline_session_sync::{BoxError, TokenError};
use uuid::Uuid;

use super::*;
use crate::auth::Keys;
use crate::config::Process;
use crate::testing::{Issuer, shell};

const LIFE: Duration = Duration::from_secs(1020);

/// Waits until `holds`, which events that are under way bring about.
async fn eventually(holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.unwrap();
}

fn keys_of(issuer: &Issuer) -> Keys {
    Keys::ring(issuer.sessions().keys().clone())
}

fn changed(user_id: Uuid, role: Role, status: UserStatus) -> UserUpdated {
    let now = Timestamp::now();
    UserUpdated(UserChanged {
        user_id,
        version: 2,
        email: "carol@example.com".to_owned(),
        name: "Carol".to_owned(),
        role,
        status,
        created_at: now,
        updated_at: now,
    })
}

async fn publish(hub: &Hub, event: &Event) {
    hub.declare(&contracts::topology()).await.unwrap();
    drop(hub.publish(event).await.unwrap());
}

#[tokio::test]
async fn a_service_is_not_ready_before_the_snapshot_and_knows_what_it_holds() {
    let issuer = Issuer::new().await;
    let (user, shell) = (Uuid::now_v7(), shell(&Process::payments()));
    let grant = issuer.grant(user, Role::Customer, "carol").await;
    let there = Arc::new(AtomicBool::new(false));
    let (asked, session) = (Arc::clone(&there), grant.session.id.clone());
    let snapshot = Snapshot::new(move || {
        let (there, session) = (asked.load(Ordering::Acquire), session.clone());
        async move {
            let now = Timestamp::now();
            let until = now.saturating_add(LIFE).unwrap();
            let entry = RevocationEntry::session(user.to_string(), session, now, until);
            if there { Ok(vec![entry]) } else { Err(BoxError::from("away")) }
        }
    });
    let auth = shell.auth_with(keys_of(&issuer), snapshot).unwrap();
    eventually(async || {
        *shell.health().ready().await.checks.iter().map(|c| c.name).collect::<Vec<_>>()
            == ["hub", "revocations", "keys"]
    })
    .await;
    assert!(!shell.health().ready().await.is_ready());
    there.store(true, Ordering::Release);
    eventually(async || shell.health().ready().await.is_ready()).await;
    assert_eq!(auth.verifier().verify(&grant.access_token).await.unwrap_err(), TokenError::Revoked);
    assert!(shell.lifecycle().drain(Duration::from_secs(20)).await.finished());
}

#[tokio::test]
async fn events_end_tokens() {
    let issuer = Issuer::new().await;
    let shell = shell(&Process::payments());
    let auth = shell.auth_with(keys_of(&issuer), Snapshot::new(async || Ok(Vec::new()))).unwrap();
    eventually(async || shell.health().ready().await.is_ready()).await;
    let verify = async |token: &str| auth.verifier().verify(token).await.err();

    let user = Uuid::now_v7();
    let ended = issuer.grant(user, Role::Customer, "carol").await;
    let other = issuer.grant(user, Role::Customer, "carol").await;
    assert_eq!(verify(&ended.access_token).await, None);
    let revoked = SessionRevoked {
        user_id: user,
        session_id: ended.session.id.parse().unwrap(),
        device_id: None,
        reason: RevokeReason::Revoked,
        at: Timestamp::now(),
    };
    publish(shell.hub(), &wrap("/test", &revoked).unwrap()).await;
    eventually(async || verify(&ended.access_token).await == Some(TokenError::Revoked)).await;
    // Another session of theirs goes on; another name costs nobody a renewal.
    publish(shell.hub(), &wrap("/test", &changed(user, Role::Customer, UserStatus::Active)).unwrap()).await;
    let marker = Uuid::now_v7();
    let token = issuer.token(marker, Role::Vendor, "marker").await;
    publish(shell.hub(), &wrap("/test", &changed(marker, Role::Admin, UserStatus::Active)).unwrap()).await;
    eventually(async || verify(&token).await == Some(TokenError::Expired)).await;
    assert_eq!(verify(&other.access_token).await, None);

    publish(shell.hub(), &wrap("/test", &changed(user, Role::Customer, UserStatus::Suspended)).unwrap())
        .await;
    eventually(async || verify(&other.access_token).await == Some(TokenError::Revoked)).await;
    let deleted = UserDeleted { user_id: marker, version: 3, deleted_at: Timestamp::now() };
    publish(shell.hub(), &wrap("/test", &deleted).unwrap()).await;
    eventually(async || verify(&token).await == Some(TokenError::Revoked)).await;
    assert!(shell.lifecycle().drain(Duration::from_secs(20)).await.finished());
}

#[test]
fn an_event_with_other_data_is_refused() {
    let event = Event::new("auth.session.revoked", "/test", &serde_json::json!({"userId": 7})).unwrap();
    assert!(entries(&event, LIFE).is_err());
    let event = Event::new("auth.session.other", "/test", &serde_json::json!({})).unwrap();
    assert!(entries(&event, LIFE).unwrap().is_empty());
}

#[test]
fn the_document_comes_back() {
    let now = Timestamp::now();
    let snapshot = RevocationSnapshot { revocations: vec![RevocationEntry::session("u", "s", now, now)] };
    let text = serde_json::to_string(&snapshot).unwrap();
    let read: RevocationSnapshot = serde_json::from_str(&text).unwrap();
    assert_eq!(read.revocations, snapshot.revocations);
}
