//! Races: what happens together ends as if one had come after the other.

use std::sync::Arc;

use super::{Bench, secs};
use crate::{ClientInfo, Device, KeyFile, Reason, RefreshError, Sessions, Store, User};

pub(super) async fn run(store: &Store, file: &KeyFile) {
    twenty_tabs_agree_on_one_successor(store, file).await;
    an_ended_session_stays_ended(store, file).await;
    sign_ins_keep_to_the_limit(store, file).await;
    sweeps_end_a_session_once(store, file).await;
}

async fn twenty_tabs_agree_on_one_successor(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    let token: Arc<str> = bench.open("d1").await.refresh_token.into();
    bench.hand.advance(secs(900));
    let tabs: Vec<_> = (0..20)
        .map(|_| tokio::spawn(renew(bench.sessions.clone(), bench.user.clone(), token.clone())))
        .collect();
    let mut successors = Vec::new();
    for tab in tabs {
        successors.push(tab.await.unwrap().expect("no tab is signed out"));
    }
    successors.dedup();
    assert_eq!(successors.len(), 1, "one successor");
    assert_eq!(bench.log.refreshes(), 1);
    assert!(bench.log.endings(&bench.user.id).is_empty());
    bench.refresh(&successors[0]).await.unwrap();
}

async fn an_ended_session_stays_ended(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    for _ in 0..10 {
        let grant = bench.open("d1").await;
        let token: Arc<str> = grant.refresh_token.into();
        let (own, id) = (bench.user.id.clone(), grant.session.id);
        let sessions = bench.sessions.clone();
        let ending = tokio::spawn(async move { sessions.revoke(&own, &id, Reason::Logout).await });
        let renewal = tokio::spawn(renew(bench.sessions.clone(), bench.user.clone(), token));
        assert!(ending.await.unwrap().unwrap());
        let renewed = renewal.await.unwrap();
        assert!(bench.live().await.is_empty(), "resurrected");
        match renewed {
            // It came first; its successor ended with the session.
            Ok(successor) => {
                let refused = bench.refresh(&successor).await.unwrap_err();
                assert!(matches!(refused, RefreshError::Invalid), "{refused:?}");
            }
            Err(refused) => assert!(matches!(refused, RefreshError::Invalid), "{refused:?}"),
        }
    }
}

async fn sign_ins_keep_to_the_limit(store: &Store, file: &KeyFile) {
    let bench = Bench::with(store, file, |config| config.max_sessions_per_user = 3).await;
    let sign_ins: Vec<_> = (0..10)
        .map(|n| {
            let (sessions, user) = (bench.sessions.clone(), bench.user.clone());
            let device = Device::new(Some(&format!("d{n}")), None, None);
            tokio::spawn(async move { sessions.open(user, device, ClientInfo::default()).await })
        })
        .collect();
    for sign_in in sign_ins {
        sign_in.await.unwrap().unwrap();
    }
    assert_eq!(bench.live().await.len(), 3);
    assert_eq!(bench.log.endings(&bench.user.id).len(), 7);
}

async fn sweeps_end_a_session_once(store: &Store, file: &KeyFile) {
    let bench = Bench::new(store, file).await;
    for n in 0..5 {
        bench.open(&format!("d{n}")).await;
    }
    bench.hand.advance(super::days(8));
    let sweeps: Vec<_> = (0..4)
        .map(|_| {
            let sessions = bench.sessions.clone();
            tokio::spawn(async move { sessions.expire().await })
        })
        .collect();
    for sweep in sweeps {
        sweep.await.unwrap().unwrap();
    }
    let mut ended = bench.log.endings(&bench.user.id);
    assert_eq!(ended.len(), 5);
    ended.sort_by(|a, b| a.0.cmp(&b.0));
    ended.dedup();
    assert_eq!(ended.len(), 5);
}

async fn renew(sessions: Sessions, user: User, token: Arc<str>) -> Result<String, RefreshError> {
    let grant =
        sessions.refresh(&token, Some("d1"), ClientInfo::default(), |_| async { Ok(Some(user)) }).await?;
    Ok(grant.refresh_token)
}
