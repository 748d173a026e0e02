//! Rotation: the successor, the grace, theft, and time.

use super::{Bench, days, secs};
use crate::{ClientInfo, ErrorKind, KeyFile, Reason, RefreshError, Store, User};

pub(super) async fn run(store: &Store, file: &KeyFile) {
    a_sign_in_gives_tokens_that_verify(store, file).await;
    a_refresh_rotates(store, file).await;
    a_lost_answer_is_given_again(store, file).await;
    a_parent_after_the_grace_is_theft(store, file).await;
    a_used_successor_closes_the_grace(store, file).await;
    another_device_has_no_grace(store, file).await;
    a_cleared_device_id_is_no_theft(store, file).await;
    foreign_tokens_do_no_harm(store, file).await;
    the_present_user_is_in_the_token(store, file).await;
    a_session_slides_and_ends(store, file).await;
    a_journal_that_refuses_leaves_everything(store, file).await;
    old_generations_are_bounded(store, file).await;
}

async fn a_sign_in_gives_tokens_that_verify(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let grant = bench.open("d1").await;
    assert_eq!(grant.expires_in, 15 * 60);
    assert_eq!(grant.refresh_expires_in, 7 * 24 * 60 * 60);
    let claims = bench.verifier.verify(&grant.access_token).await.unwrap();
    assert_eq!((&claims.sub, &claims.sid), (&bench.user.id, &grant.session.id));
    assert_eq!((&*claims.role, &claims.email), ("CUSTOMER", &bench.user.email));
    let list = bench.sessions.list(&bench.user.id, Some(&claims.sid)).await.unwrap();
    assert_eq!(list, std::slice::from_ref(&grant.session));
    assert!(list[0].current);
    assert_eq!(list[0].device.id, "d1");
    assert_eq!(list[0].ip.as_deref(), Some("192.0.2.1"));
    assert_eq!(list[0].created_at.as_second(), claims.iat);
    let owner = bench.sessions.session_of(&grant.refresh_token).await.unwrap();
    assert_eq!(owner, Some((claims.sub.clone(), claims.sid.clone())));
}

async fn a_refresh_rotates(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let first = bench.open("d1").await;
    bench.hand.advance(secs(900));
    let second = bench.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(first.refresh_token, second.refresh_token);
    assert_ne!(first.access_token, second.access_token);
    assert_eq!(first.session.id, second.session.id);
    assert!(second.session.last_seen_at > first.session.last_seen_at);
    assert_eq!(second.session.created_at, first.session.created_at);
    // What the refresh does not say stays.
    assert_eq!(second.session.user_agent, first.session.user_agent);
    assert_eq!(second.session.device, first.session.device);
    bench.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(bench.log.refreshes(), 2);
}

async fn a_lost_answer_is_given_again(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let parent = bench.open("d1").await.refresh_token;
    let child = bench.refresh(&parent).await.unwrap().refresh_token;
    bench.hand.advance(secs(6));
    let again = bench.refresh_from(&parent, Some("d1")).await.unwrap();
    assert_eq!(again.refresh_token, child);
    bench.verifier.verify(&again.access_token).await.expect("usable");
    assert_eq!(bench.log.refreshes(), 1, "nothing advanced");
    // The grace is counted from the rotation: coming again does not renew it.
    bench.hand.advance(secs(4));
    bench.refresh(&parent).await.expect("to the second");
    bench.hand.advance(secs(1));
    assert_theft(&bench, &parent).await;
}

async fn a_parent_after_the_grace_is_theft(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let opened = bench.open("d1").await;
    let other = bench.open("d2").await;
    let child = bench.refresh(&opened.refresh_token).await.unwrap();
    bench.hand.advance(secs(11));
    assert_theft(&bench, &opened.refresh_token).await;
    // The thief's branch is dead too; the user's other session is not.
    for token in [&child.refresh_token, &opened.refresh_token] {
        let refused = bench.refresh(token).await.unwrap_err();
        assert!(matches!(refused, RefreshError::Invalid), "{refused:?}");
    }
    assert_eq!(bench.live().await, [other.session.id]);
    let endings = bench.log.endings(&bench.user.id);
    assert_eq!(endings, [(opened.session.id, Reason::Reuse)]);
}

async fn a_used_successor_closes_the_grace(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let parent = bench.open("d1").await.refresh_token;
    let child = bench.refresh(&parent).await.unwrap().refresh_token;
    bench.refresh(&child).await.unwrap();
    // All within the same second: the parent is a grandparent now.
    assert_theft(&bench, &parent).await;
}

async fn another_device_has_no_grace(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let parent = bench.open("d1").await.refresh_token;
    bench.refresh_from(&parent, Some("d1")).await.unwrap();
    let refused = bench.refresh_from(&parent, Some("d2")).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Reused { .. }), "{refused:?}");
    assert!(bench.live().await.is_empty());
}

async fn a_cleared_device_id_is_no_theft(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let parent = bench.open("d1").await.refresh_token;
    let child = bench.refresh_from(&parent, Some("new")).await.unwrap();
    assert_eq!(child.session.device.id, "new");
    assert_eq!(child.session.device.name.as_deref(), Some("A browser"));
    // Two tabs of the new device have the grace; the old one has it no more.
    bench.refresh_from(&parent, Some("new")).await.unwrap();
    let refused = bench.refresh_from(&parent, Some("d1")).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Reused { .. }), "{refused:?}");
}

async fn foreign_tokens_do_no_harm(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let grant = bench.open("d1").await;
    let drawn = crate::token::refresh::RefreshToken::draw().text();
    for token in ["", "x", &*drawn, &*grant.access_token, &"A".repeat(10_000)] {
        let refused = bench.refresh(token).await.unwrap_err();
        assert!(matches!(refused, RefreshError::Invalid), "{refused:?}");
        assert_eq!(bench.sessions.session_of(token).await.unwrap(), None);
    }
    bench.refresh(&grant.refresh_token).await.unwrap();
}

async fn the_present_user_is_in_the_token(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let grant = bench.open("d1").await;
    let id = bench.user.id.clone();
    let promoted = |id: String| async move { Ok(Some(User::new(id, "n@x", "New", "ADMIN"))) };
    let client = ClientInfo::default;
    let second = bench.sessions.refresh(&grant.refresh_token, None, client(), promoted).await.unwrap();
    let claims = bench.verifier.verify(&second.access_token).await.unwrap();
    assert_eq!((&*claims.role, &*claims.name, &*claims.email, &claims.sub), ("ADMIN", "New", "n@x", &id));
    let token = &second.refresh_token;
    // A look-up that fails decides nothing; one without a user refuses and spends nothing.
    let failed =
        bench.sessions.refresh(token, None, client(), |_| async { Err("away".into()) }).await.unwrap_err();
    assert!(
        matches!(&failed, RefreshError::Failed(error) if error.kind() == ErrorKind::Lookup),
        "{failed:?}"
    );
    let refused = bench.sessions.refresh(token, None, client(), |_| async { Ok(None) }).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Invalid), "{refused:?}");
    bench.refresh(token).await.unwrap();
}

async fn a_session_slides_and_ends(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let idle = bench.open("idle").await;
    let mut token = bench.open("busy").await.refresh_token;
    for _ in 0..4 {
        bench.hand.advance(days(6));
        token = bench.refresh(&token).await.unwrap().refresh_token;
    }
    let refused = bench.refresh(&idle.refresh_token).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Invalid), "{refused:?}");
    assert_eq!(bench.live().await.len(), 1);
    // Day 24 and a half: the end at day 30 is nearer than 7 days, and nothing outlives it.
    bench.hand.advance(days(6) - secs(60));
    let last = bench.refresh(&token).await.unwrap();
    assert_eq!((last.expires_in, last.refresh_expires_in), (60, 60));
    bench.hand.advance(secs(60));
    let refused = bench.refresh(&last.refresh_token).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Invalid), "{refused:?}");
    assert!(bench.live().await.is_empty());
}

async fn a_journal_that_refuses_leaves_everything(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let grant = bench.open("d1").await;
    bench.log.refuse(true);
    let id = &grant.session.id;
    let refused = bench.refresh(&grant.refresh_token).await.unwrap_err();
    assert!(
        matches!(&refused, RefreshError::Failed(error) if error.kind() == ErrorKind::Journal),
        "{refused:?}"
    );
    let sessions = &bench.sessions;
    let refused = sessions.revoke(&bench.user.id, id, Reason::Logout).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Journal);
    let refused =
        sessions.open(bench.user.clone(), grant.session.device.clone(), ClientInfo::default()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Journal);
    bench.log.refuse(false);
    assert_eq!(bench.live().await, std::slice::from_ref(id));
    // The token was not spent: this is a rotation, not the grace.
    bench.refresh(&grant.refresh_token).await.unwrap();
    assert_eq!(bench.log.refreshes(), 1);
}

async fn old_generations_are_bounded(store: &Store, file: &KeyFile) {
    let bench = Bench::with(store, file, |config| config.remembered_tokens = 8).await;
    let first = bench.open("d1").await.refresh_token;
    let mut token = first.clone();
    for _ in 0..64 {
        token = bench.refresh(&token).await.unwrap().refresh_token;
    }
    // Forgotten, so unknown; what is remembered would be theft.
    let refused = bench.refresh(&first).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Invalid), "{refused:?}");
    bench.refresh(&token).await.unwrap();
}

async fn assert_theft(bench: &Bench, token: &str) {
    let refused = bench.refresh(token).await.unwrap_err();
    assert!(
        matches!(&refused, RefreshError::Reused { user_id, .. } if *user_id == bench.user.id),
        "{refused:?}"
    );
}
