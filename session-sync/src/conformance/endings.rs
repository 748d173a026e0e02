//! Endings: one, the others, all; the sweep; the snapshot.

use super::{Bench, days, secs};
use crate::revocation::RevocationKind;
use crate::{KeyFile, Reason, RefreshError, Store, TokenError, UserChange};

pub(super) async fn run(store: &Store, file: &KeyFile) {
    only_the_owner_ends_a_session(store, file).await;
    the_others_end_and_one_stays(store, file).await;
    the_oldest_makes_room(store, file).await;
    the_sweep_ends_and_deletes(store, file).await;
    the_snapshot_holds_what_tokens_need(store, file).await;
    a_change_of_the_user_counts_for_older_tokens(store, file).await;
}

async fn only_the_owner_ends_a_session(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let grant = bench.open("d1").await;
    let (sessions, id) = (&bench.sessions, &*grant.session.id);
    assert!(!sessions.revoke("else", id, Reason::Revoked).await.unwrap());
    let own = &*bench.user.id;
    assert!(!sessions.revoke(own, "none", Reason::Revoked).await.unwrap());
    assert!(sessions.revoke(own, id, Reason::Logout).await.unwrap());
    assert!(!sessions.revoke(own, id, Reason::Logout).await.unwrap());
    assert_eq!(bench.log.endings(own), [(id.to_owned(), Reason::Logout)], "said once");
    let refused = bench.refresh(&grant.refresh_token).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Invalid), "{refused:?}");
    assert_eq!(sessions.session_of(&grant.refresh_token).await.unwrap(), None);
}

async fn the_others_end_and_one_stays(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let stranger = Bench::new(store, file).await;
    let theirs = stranger.open("d1").await;
    let (one, two, three) = (bench.open("d1").await, bench.open("d2").await, bench.open("d3").await);
    let own = &*bench.user.id;
    let keep = &*two.session.id;
    assert_eq!(bench.sessions.revoke_others(own, keep).await.unwrap(), 2);
    assert_eq!(bench.sessions.revoke_others(own, keep).await.unwrap(), 0);
    assert_eq!(bench.live().await, [keep.to_owned()]);
    let mut ended = bench.log.endings(own);
    ended.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected = [one.session.id, three.session.id].map(|id| (id, Reason::Others));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(ended, expected);
    let all = bench.sessions.revoke_all(own, Reason::Password).await;
    assert_eq!(all.unwrap(), 1);
    assert!(bench.live().await.is_empty());
    assert_eq!(stranger.live().await, [theirs.session.id]);
    // Who signs in afterwards is signed in.
    bench.open("d1").await;
    assert_eq!(bench.live().await.len(), 1);
}

async fn the_oldest_makes_room(store: &Store, file: &KeyFile) {
    let bench = Bench::with(store, file, |config| config.max_sessions_per_user = 2).await;
    let first = bench.open("d1").await;
    bench.hand.advance(secs(1));
    let second = bench.open("d2").await;
    bench.hand.advance(secs(1));
    bench.refresh(&first.refresh_token).await.unwrap();
    bench.hand.advance(secs(1));
    let third = bench.open("d3").await;
    // The first was used since; the second is the one.
    assert_eq!(bench.live().await, [third.session.id, first.session.id.clone()]);
    assert_eq!(bench.log.endings(&bench.user.id), [(second.session.id, Reason::Expired)]);
}

async fn the_sweep_ends_and_deletes(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let grant = bench.open("d1").await;
    bench.hand.advance(days(8));
    let alive = bench.open("d2").await;
    let swept = bench.sessions.expire().await.unwrap();
    assert!(swept.expired >= 1, "{swept:?}");
    let id = grant.session.id;
    assert_eq!(bench.log.endings(&bench.user.id), [(id.clone(), Reason::Expired)]);
    assert_eq!(bench.live().await, [alive.session.id]);
    let again = bench.sessions.expire().await.unwrap();
    assert_eq!((again.expired, again.deleted), (0, 0), "nothing is left");
    bench.hand.advance(days(2));
    let swept = bench.sessions.expire().await.unwrap();
    assert!(swept.deleted >= 1, "{swept:?}");
    bench.hand.advance(days(100));
    let swept = bench.sessions.expire().await.unwrap();
    assert!(swept.expired >= 1, "{swept:?}");
    bench.hand.advance(days(2));
    let swept = bench.sessions.expire().await.unwrap();
    assert!(swept.devices >= 1, "{swept:?}");
}

async fn the_snapshot_holds_what_tokens_need(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let grant = bench.open("d1").await;
    let own = &*bench.user.id;
    let id = &*grant.session.id;
    bench.verifier.verify(&grant.access_token).await.unwrap();
    bench.sessions.revoke(own, id, Reason::Revoked).await.unwrap();
    let snapshot = bench.sessions.revoked_snapshot().await.unwrap();
    let ours: Vec<_> = snapshot.iter().filter(|entry| entry.user_id == own).collect();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].session_id.as_deref(), Some(id));
    assert_eq!(ours[0].kind, RevocationKind::Session);
    assert!(ours[0].until >= crate::clock::after(bench.hand.now(), secs(900)));
    // It travels as JSON.
    let json = serde_json::to_string(&snapshot).unwrap();
    bench.verifier.revocations().apply_snapshot(serde_json::from_str::<Vec<_>>(&json).unwrap());
    let refused = bench.verifier.verify(&grant.access_token).await;
    assert_eq!(refused.unwrap_err(), TokenError::Revoked);
    bench.hand.advance(secs(17 * 60));
    let snapshot = bench.sessions.revoked_snapshot().await.unwrap();
    assert!(snapshot.iter().all(|entry| entry.user_id != own));
}

async fn a_change_of_the_user_counts_for_older_tokens(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let grant = bench.open("d1").await;
    let own = &*bench.user.id;
    let changed = UserChange::Role("VENDOR".to_owned());
    assert_eq!(bench.sessions.user_changed(own, changed).await.unwrap(), 0);
    let snapshot = bench.sessions.revoked_snapshot().await.unwrap();
    bench.verifier.revocations().apply_snapshot(snapshot);
    let refused = bench.verifier.verify(&grant.access_token).await;
    assert_eq!(refused.unwrap_err(), TokenError::Expired, "renew it");
    bench.hand.advance(secs(1));
    let renewed = bench.refresh(&grant.refresh_token).await.unwrap();
    bench.verifier.verify(&renewed.access_token).await.unwrap();

    let ended = bench.sessions.user_changed(own, UserChange::Suspended).await;
    assert_eq!(ended.unwrap(), 1);
    let endings = bench.log.endings(own);
    assert_eq!(endings, [(grant.session.id, Reason::Suspended)]);
    let snapshot = bench.sessions.revoked_snapshot().await.unwrap();
    assert_eq!(snapshot.iter().filter(|entry| entry.user_id == own).count(), 2);
    bench.verifier.revocations().apply_snapshot(snapshot);
    let refused = bench.verifier.verify(&renewed.access_token).await;
    assert_eq!(refused.unwrap_err(), TokenError::Revoked);
}
