//! Renewal, shrunk roles, and sessions that end.

use serde_json::json;
use tramline_ws_rooms::{Backplane, Close, Credential, Rooms, Target};

use crate::support::{Gatekeeper, Peer, config, node, peer, publish, settle};

#[tokio::test(start_paused = true)]
async fn another_role_changes_the_role_room_at_once() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    publish(&rooms, &["role:customer"], "before").await;
    publish(&rooms, &["role:admin"], "a1").await;
    ada.expect("event").await;
    ada.send(json!({"type": "auth", "id": "a", "token": "ada/customer/s1"})).await;
    let left = ada.expect("unsubscribed").await;
    assert_eq!((&left["room"], &left["reason"]), (&json!("role:admin"), &json!("forbidden")));
    assert!(left.get("id").is_none());
    let answer = ada.expect("authenticated").await;
    let place = answer["rooms"].as_array().unwrap().iter().find(|r| r["room"] == "role:customer");
    assert_eq!(place.unwrap()["offset"], 1);

    publish(&rooms, &["role:admin"], "a2").await;
    publish(&rooms, &["role:customer"], "c2").await;
    let event = ada.expect("event").await;
    assert_eq!((&event["room"], &event["offset"]), (&json!("role:customer"), &json!(2)));
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn requested_rooms_are_asked_for_again() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    for room in ["payment:1", "system:live"] {
        ada.ask(json!({"type": "subscribe", "room": room})).await;
    }
    ada.send(json!({"type": "auth", "token": "ada/customer/s1"})).await;
    let mut lost = Vec::new();
    loop {
        let frame = ada.next().await;
        if frame["type"] == "authenticated" {
            break;
        }
        lost.push(frame["room"].as_str().unwrap().to_owned());
    }
    lost.sort();
    assert_eq!(lost, ["role:admin", "system:live"]);
    publish(&rooms, &["payment:1"], "e1").await;
    assert_eq!(ada.expect("event").await["room"], "payment:1");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_asks_again_too() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    ada.ask(json!({"type": "auth", "token": "ada/admin/s1"})).await;
    // `guest` may not be in payment rooms: the renewal takes it away.
    ada.send(json!({"type": "auth", "token": "ada/guest/s1"})).await;
    while ada.next().await["type"] != "authenticated" {}
    let since = json!({"epoch": "e", "offset": 0});
    let answer = ada.ask(json!({"type": "subscribe", "room": "payment:1", "since": since})).await;
    assert_eq!(answer["code"], "FORBIDDEN");
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_or_another_users_changes_nothing() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let answer = ada.ask(json!({"type": "auth", "id": "1", "token": "nonsense"})).await;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("UNAUTHENTICATED"), &json!(false)));
    let answer = ada.ask(json!({"type": "auth", "id": "2", "token": "eve/admin/s9"})).await;
    assert_eq!(answer["code"], "FORBIDDEN");
    let answer = ada.ask(json!({"type": "auth", "id": "3", "token": "ada/customer/s1/0"})).await;
    assert_eq!(answer["code"], "TOKEN_EXPIRED");
    publish(&rooms, &["role:admin"], "a1").await;
    publish(&rooms, &["user:ada"], "e1").await;
    assert_eq!(ada.expect("event").await["room"], "user:ada");
    // The answer does not repeat the token.
    assert!(!answer.to_string().contains("ada/customer"));
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_closes_its_connections_and_no_others() {
    let rooms = node();
    let mut ended = Peer::connect(&rooms, "ada/customer/s1").await;
    let mut other = Peer::connect(&rooms, "ada/customer/s2").await;
    publish(&rooms, &["user:ada"], "e1").await;
    assert_eq!(rooms.close(&Target::Session("s1".into()), &Close::SESSION_REVOKED), 1);
    publish(&rooms, &["user:ada"], "e2").await;
    let (frames, code) = ended.rest().await;
    assert_eq!(code, Some(4009));
    // What had not been sent is not sent any more.
    assert_eq!(frames.len(), 1);
    let expected = json!({"type": "goodbye", "code": 4009, "reason": "session revoked"});
    assert_eq!(frames[0], expected);
    assert_eq!(ended.server.await.unwrap(), 4009);
    for id in ["e1", "e2"] {
        assert_eq!(other.expect("event").await["event"]["id"], id);
    }
    assert_eq!(rooms.close(&Target::User("ada".into()), &Close::SESSION_REVOKED), 1);
    assert_eq!(other.rest().await.1, Some(4009));
    settle().await;
    assert_eq!(rooms.close(&Target::User("ada".into()), &Close::SESSION_REVOKED), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_while_its_token_is_checked_does_not_get_in() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    gatekeeper.door.forget_permits(usize::MAX >> 3);
    // Each hears what those hear who are there already: whether to stay away, to renew, or to come back.
    for (close, code) in [
        (Close::TOKEN_ENDED, "TOKEN_EXPIRED"),
        (Close::POSITION_LOST, "UNAVAILABLE"),
        (Close::SESSION_REVOKED, "TOKEN_REVOKED"),
    ] {
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        let admitting = tokio::spawn({
            let rooms = rooms.clone();
            async move { rooms.admit(Credential::Bearer("ada/customer/s1".into()), peer()).await }
        });
        settle().await;
        rooms.close(&Target::Session("s1".into()), &close);
        gatekeeper.door.add_permits(1);
        assert_eq!(admitting.await.unwrap().unwrap_err().code, code);
        gatekeeper.door.forget_permits(1);
    }
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    gatekeeper.door.add_permits(1);
    // One whose check begins later is the authority's business.
    assert!(rooms.admit(Credential::Bearer("ada/customer/s1".into()), peer()).await.is_ok());
}

/// The same for who is there already and renews.
#[tokio::test(start_paused = true)]
async fn a_session_that_ends_while_its_token_is_checked_takes_no_connection_over() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    gatekeeper.door.forget_permits(usize::MAX >> 3);
    ada.send(json!({"type": "auth", "token": "ada/customer/s2"})).await;
    settle().await;
    assert_eq!(rooms.close(&Target::Session("s2".into()), &Close::SESSION_REVOKED), 0);
    gatekeeper.door.add_permits(1);
    assert_eq!(ada.rest().await.1, Some(4009));
}

/// More ends while somebody is let in than is remembered: whether it is about them nobody knows, so they come again.
#[tokio::test(start_paused = true)]
async fn who_may_have_been_closed_comes_again() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    gatekeeper.door.forget_permits(usize::MAX >> 3);
    let admit = || {
        let rooms = rooms.clone();
        async move { rooms.admit(Credential::Bearer("ada/customer/s1".into()), peer()).await }
    };
    let admitting = tokio::spawn(admit());
    settle().await;
    for number in 0..5_000 {
        rooms.close(&Target::Session(format!("other-{number}")), &Close::SESSION_REVOKED);
    }
    gatekeeper.door.add_permits(2);
    assert_eq!(admitting.await.unwrap().unwrap_err().code, "UNAVAILABLE");
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    assert!(admit().await.is_ok());
}

/// However many connections end one by one, whoever is just being let in is none of them.
#[tokio::test(start_paused = true)]
async fn those_who_are_closed_one_by_one_keep_nobody_out() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    gatekeeper.door.forget_permits(usize::MAX >> 3);
    let admitting = tokio::spawn({
        let rooms = rooms.clone();
        async move { rooms.admit(Credential::Bearer("ada/customer/s1".into()), peer()).await }
    });
    settle().await;
    for number in 0..5_000 {
        rooms.close(&Target::Connection(number.to_string()), &Close::POSITION_LOST);
    }
    gatekeeper.door.add_permits(1);
    assert!(admitting.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_moves_the_connection_to_its_new_session() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    ada.ask(json!({"type": "auth", "token": "ada/customer/s2"})).await;
    assert_eq!(rooms.close(&Target::Session("s1".into()), &Close::SESSION_REVOKED), 0);
    assert_eq!(rooms.close(&Target::Session("s2".into()), &Close::SESSION_REVOKED), 1);
    assert_eq!(ada.rest().await.1, Some(4009));
}
