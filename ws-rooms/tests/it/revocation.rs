//! Rights that end before their tokens do.

mod redis;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;
use tramline_ws_rooms::{Backplane, Credential, ErrorKind, Revocation, Rooms, Target};

use crate::backplane::until as until_true;
use crate::counts::Counting;
use crate::support::{Gatekeeper, Peer, config, node, peer, publish, room, settle};

fn until(seconds: u64) -> Timestamp {
    Timestamp::now() + Duration::from_secs(seconds)
}

/// What is answered to whoever comes with this token.
async fn answer(rooms: &Rooms, token: &str) -> &'static str {
    let admitted = rooms.admit(Credential::Bearer(token.into()), peer()).await;
    admitted.map_or_else(|refusal| refusal.code, |_| "welcome")
}

fn rooms_of(peer: &Peer) -> Vec<Value> {
    peer.welcome["rooms"].as_array().unwrap().iter().map(|place| place["room"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_does_not_come_back_before_its_tokens_have_ended() {
    let rooms = node();
    let mut ended = Peer::connect(&rooms, "ada/customer/s1").await;
    let mut other = Peer::connect(&rooms, "ada/customer/s2").await;
    rooms.revoke(Revocation::session("s1", until(60))).await.unwrap();
    assert_eq!(ended.rest().await.1, Some(4009));
    assert_eq!(answer(&rooms, "ada/customer/s1").await, "TOKEN_REVOKED");
    // Nor does one help that says it was issued later.
    assert_eq!(answer(&rooms, "ada/customer/s1/900/0").await, "TOKEN_REVOKED");
    assert_eq!(answer(&rooms, "ada/customer/s2").await, "welcome");
    // A renewal is no way around it.
    other.send(json!({"type": "auth", "token": "ada/customer/s1"})).await;
    assert_eq!(other.rest().await.1, Some(4009));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(answer(&rooms, "ada/customer/s1").await, "welcome");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_newer_is_good() {
    let rooms = node();
    let at = Timestamp::now() - Duration::from_secs(10);
    let mut newer = Peer::connect(&rooms, "ada/customer/s1/900/5").await;
    let mut older = Peer::connect(&rooms, "ada/customer/s2/900/20").await;
    let renewed = Peer::connect(&rooms, "ada/customer/s3/900/20").await;
    let mut renewed = renewed;
    renewed.ask(json!({"type": "auth", "token": "ada/customer/s3/900/5"})).await;
    rooms.revoke(Revocation::user("ada", until(600)).at(at).renewable()).await.unwrap();
    // Whoever renews is welcome.
    assert_eq!(older.rest().await.1, Some(4201));
    assert_eq!(answer(&rooms, "ada/customer/s2/900/20").await, "TOKEN_EXPIRED");
    assert_eq!(answer(&rooms, "ada/customer/s2/900/0").await, "welcome");
    newer.quiet().await;
    renewed.quiet().await;
}

/// Another role: the session goes on with its next token.
#[tokio::test(start_paused = true)]
async fn a_session_that_goes_on_has_its_new_tokens() {
    let rooms = node();
    let mut older = Peer::connect(&rooms, "ada/admin/s1/900/20").await;
    rooms.revoke(Revocation::session("s1", until(600)).renewable()).await.unwrap();
    assert_eq!(older.rest().await.1, Some(4201));
    assert_eq!(answer(&rooms, "ada/admin/s1/900/20").await, "TOKEN_EXPIRED");
    let mut newer = Peer::connect(&rooms, "ada/customer/s1/900/0").await;
    // A token of before does not get in by the back door either.
    newer.send(json!({"type": "auth", "token": "ada/admin/s1/900/20"})).await;
    assert_eq!(newer.rest().await.1, Some(4201));
}

/// The token was found good, then it was revoked, then its connection would be registered.
#[tokio::test(start_paused = true)]
async fn one_that_comes_while_a_token_is_checked_counts() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    gatekeeper.door.forget_permits(usize::MAX >> 3);
    let admitting = tokio::spawn({
        let rooms = rooms.clone();
        async move { answer(&rooms, "ada/customer/s1").await }
    });
    settle().await;
    rooms.revoke(Revocation::session("s1", until(60))).await.unwrap();
    gatekeeper.door.add_permits(1);
    assert_eq!(admitting.await.unwrap(), "TOKEN_REVOKED");
    assert_eq!(rooms.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn a_users_place_in_a_room_is_taken_and_nothing_else() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1/900/20").await;
    let mut bob = Peer::connect(&rooms, "bob/customer/s2").await;
    let subscribe = json!({"type": "subscribe", "id": "1", "room": "payment:1"});
    for peer in [&mut ada, &mut bob] {
        peer.ask(subscribe.clone()).await;
    }
    assert_eq!(ada.expect("joined").await["userId"], "bob");
    rooms.revoke(Revocation::user("ada", until(60)).in_room(room("payment:1"))).await.unwrap();
    // From the return on nothing comes from there, whether the task has got round to it or not.
    publish(&rooms, &["payment:1", "broadcast"], "e1").await;
    let mut frames = [ada.next().await, ada.next().await];
    frames.sort_by_key(|frame| frame["type"].to_string());
    assert_eq!(frames[0]["room"], "broadcast");
    assert_eq!(frames[1], json!({"type": "unsubscribed", "room": "payment:1", "reason": "forbidden"}));
    assert_eq!(bob.expect("event").await["room"], "payment:1");
    assert_eq!(bob.expect("position").await["room"], "broadcast");

    let since = json!({"epoch": "e", "offset": 0});
    for again in [subscribe.clone(), json!({"type": "subscribe", "room": "payment:1", "since": since})] {
        assert_eq!(ada.ask(again).await["code"], "FORBIDDEN");
    }
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "payment:2"})).await["type"], "subscribed");
    // The user has left for the others too.
    assert_eq!(bob.expect("left").await["userId"], "ada");
    // With a newer token the authority is asked, and has nothing against it.
    let before = Timestamp::now() - Duration::from_secs(1);
    ada.ask(json!({"type": "auth", "token": "ada/customer/s1/900/0"})).await;
    rooms.revoke(Revocation::user("ada", until(60)).in_room(room("payment:1")).at(before)).await.unwrap();
    assert_eq!(ada.ask(subscribe).await["type"], "subscribed");
}

/// The server's own rooms too: who is in one leaves it, and who comes later does not get it.
#[tokio::test(start_paused = true)]
async fn a_room_is_closed_to_all_who_have_a_token() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1/900/20").await;
    rooms.revoke(Revocation::room(room("broadcast"), until(60))).await.unwrap();
    assert_eq!(ada.expect("unsubscribed").await["room"], "broadcast");
    publish(&rooms, &["broadcast"], "e1").await;
    ada.quiet().await;
    let bob = Peer::connect(&rooms, "bob/customer/s2/900/20").await;
    assert_eq!(rooms_of(&bob), ["user:bob", "role:customer"]);
    // One that comes back asks anew.
    ada.send(json!({"type": "auth", "token": "ada/customer/s1/900/20"})).await;
    assert_eq!(ada.expect("authenticated").await["rooms"].as_array().unwrap().len(), 2);
    tokio::time::advance(Duration::from_secs(61)).await;
    let eve = Peer::connect(&rooms, "eve/customer/s3/900/20").await;
    assert_eq!(rooms_of(&eve), ["user:eve", "role:customer", "broadcast"]);
}

/// Whoever has a newer token stays: the authority let them in with it.
#[tokio::test(start_paused = true)]
async fn a_room_that_is_closed_to_older_tokens_stays_open_to_newer_ones() {
    let rooms = node();
    let mut older = Peer::connect(&rooms, "ada/customer/s1/900/20").await;
    let mut newer = Peer::connect(&rooms, "ada/customer/s2/900/5").await;
    for peer in [&mut older, &mut newer] {
        peer.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    }
    let at = Timestamp::now() - Duration::from_secs(10);
    rooms.revoke(Revocation::room(room("payment:1"), until(60)).at(at)).await.unwrap();
    assert_eq!(older.expect("unsubscribed").await["room"], "payment:1");
    publish(&rooms, &["payment:1"], "e1").await;
    newer.expect("event").await;
    older.quiet().await;
}

/// Whoever gives a room away is told who may not have it.
#[tokio::test(start_paused = true)]
async fn a_revoked_room_is_not_given() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let _tab = Peer::connect(&rooms, "ada/customer/s2").await;
    rooms.revoke(Revocation::session("s1", until(60)).in_room(room("payment:1"))).await.unwrap();
    assert_eq!(rooms.join(&Target::User("ada".into()), &room("payment:1")), 1);
    settle().await;
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_later_knows() {
    let backplane = Backplane::memory();
    let there = Rooms::new(config(), Gatekeeper::default(), backplane.clone());
    there.revoke(Revocation::session("s1", until(60))).await.unwrap();
    let later = Rooms::new(config(), Gatekeeper::default(), backplane);
    assert_eq!(answer(&later, "ada/customer/s1").await, "TOKEN_REVOKED");
    assert_eq!(answer(&later, "ada/customer/s2").await, "welcome");
}

/// The backplane is not even asked: what it cannot do for a room that is closed is nobody's trouble.
#[tokio::test(start_paused = true)]
async fn a_revoked_room_of_the_servers_is_not_joined() {
    let mut counting = Counting::new("broadcast");
    counting.fails = true;
    let rooms = counting.node();
    counting.gate.add_permits(1);
    rooms.revoke(Revocation::user("ada", until(60)).in_room(room("broadcast"))).await.unwrap();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    assert_eq!(rooms_of(&ada), ["user:ada", "role:customer"]);
    ada.quiet().await;
}

/// The authority has said yes, or is about to, when the right is taken back.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_on_its_way_opens_no_revoked_room() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    ada.send(json!({"type": "subscribe", "id": "1", "room": "payment:gated"})).await;
    settle().await;
    rooms.revoke(Revocation::session("s1", until(60)).in_room(room("payment:gated"))).await.unwrap();
    gatekeeper.gate.add_permits(1);
    assert_eq!(ada.expect("error").await["id"], "1");
    publish(&rooms, &["payment:gated"], "e1").await;
    ada.quiet().await;
    assert!(!rooms.has_members(&room("payment:gated")));
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "payment:gated"})).await["code"], "FORBIDDEN");
}

/// One that would be forgotten before its end is refused.
#[tokio::test(start_paused = true)]
async fn none_lasts_longer_than_a_token_may_live() {
    let mut config = config();
    config.max_token_life = Duration::from_secs(100);
    let rooms = Rooms::new(config, Gatekeeper::default(), Backplane::memory());
    let error = rooms.revoke(Revocation::user("ada", until(110))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(answer(&rooms, "ada/customer/s1").await, "welcome");
    rooms.revoke(Revocation::user("ada", until(100))).await.unwrap();
    // The end is a time of the day, which a busy machine brings nearer.
    tokio::time::advance(Duration::from_secs(80)).await;
    assert_eq!(answer(&rooms, "ada/customer/s1").await, "TOKEN_REVOKED");
    tokio::time::advance(Duration::from_secs(21)).await;
    assert_eq!(answer(&rooms, "ada/customer/s1").await, "welcome");
}

/// Admissions and joins beside revocations, on two threads: whichever comes second sees the other, every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_slips_past_the_other() {
    let rooms = node();
    for round in 0..300 {
        let (session, place) = (format!("s{round}"), room(&format!("payment:{round}")));
        let token = format!("u{round}/customer/{session}");
        let mut reader = Peer::connect(&rooms, &token).await;
        let connecting = tokio::spawn({
            let rooms = rooms.clone();
            async move { rooms.admit(Credential::Bearer(token), peer()).await.is_ok() }
        });
        reader.send(json!({"type": "subscribe", "room": place.as_str()})).await;
        let revoking = tokio::spawn({
            let (rooms, place, user) = (rooms.clone(), place.clone(), format!("u{round}"));
            async move {
                rooms.revoke(Revocation::user(user, until(60)).in_room(place)).await.unwrap();
                rooms.revoke(Revocation::session(session, until(60))).await.unwrap();
            }
        });
        // Let in or not, the admission is not kept.
        connecting.await.unwrap();
        revoking.await.unwrap();
        let ended = timeout(Duration::from_secs(30), reader.rest()).await;
        assert_eq!(ended.expect("its connection ends").1, Some(4009), "round {round}");
        assert_eq!(reader.server.await.unwrap(), 4009);
        assert!(!rooms.has_members(&place), "round {round}");
        assert!(rooms.connections(None, 10).is_empty(), "round {round}");
    }
}

/// The same for joins alone, which end no connection that would hide them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_join_slips_past() {
    let mut config = config();
    config.limits.messages_per_second = 10_000;
    let rooms = crate::support::node_with(config);
    let mut reader = Peer::connect(&rooms, "ada/customer/s1").await;
    for round in 0..90 {
        let place = room(&format!("payment:{round}"));
        reader.send(json!({"type": "subscribe", "id": round, "room": place.as_str()})).await;
        let revoking = tokio::spawn({
            let (rooms, place) = (rooms.clone(), place.clone());
            async move { rooms.revoke(Revocation::room(place, until(60))).await.unwrap() }
        });
        revoking.await.unwrap();
        // Whatever it was told, it is not in the room.
        while reader.next().await["id"] != round {}
        until_true(|| !rooms.has_members(&place)).await;
        publish(&rooms, &[place.as_str()], &format!("e{round}")).await;
        reader.send(json!({"type": "ping", "id": "after"})).await;
        loop {
            let frame = reader.next().await;
            assert_ne!(frame["type"], "event", "round {round}");
            if frame["id"] == "after" {
                break;
            }
        }
    }
}
