//! Who decides about rooms: the rule's own authoriser, or the authority.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::sync::Semaphore;
use tramline_ws_rooms::{Access, Authoriser, Identity, RoomId, RoomRule};

use crate::support::{Peer, config, node_with, publish, settle};

/// Lets people join what they have a share in, and writes down what it was asked.
#[derive(Clone, Default)]
struct Shares {
    of: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Shares {
    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Authoriser for Shares {
    async fn may_join(&self, identity: &Identity, room: &RoomId, rest: &str) -> Access {
        self.asked.lock().unwrap().push(format!("{} {room} {rest}", identity.user_id));
        let shares = self.of.lock().unwrap();
        let mut shares = shares.iter();
        match shares.any(|(user, share)| *user == identity.user_id && *share == rest) {
            true => Access::Allowed,
            false => Access::Forbidden,
        }
    }
}

struct Never(Arc<Semaphore>);

impl Authoriser for Never {
    async fn may_join(&self, _: &Identity, _: &RoomId, _: &str) -> Access {
        let _permit = self.0.acquire().await;
        Access::Allowed
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_asked_at_each_join_recovery_and_renewal() {
    let shares = Shares::default();
    shares.of.lock().unwrap().push(("ada", "a:1"));
    let mut config = config();
    // Before the rule that the others have: the first that matches counts.
    config.rules.insert(0, RoomRule::prefix("share:").authorised_by(shares.clone()));
    config.rules.insert(1, RoomRule::exact("system:live").local().authorised_by(shares.clone()));
    let rooms = node_with(config);
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    let place = ada.ask(json!({"type": "subscribe", "room": "share:a:1"})).await;
    assert_eq!(place["type"], "subscribed");
    assert_eq!(shares.take_asked(), ["ada share:a:1 a:1"]);
    for room in ["share:b", "system:live"] {
        let answer = ada.ask(json!({"type": "subscribe", "room": room})).await;
        assert_eq!(answer["code"], "FORBIDDEN", "the authority would let an admin into the second");
    }
    assert_eq!(shares.take_asked(), ["ada share:b b", "ada system:live "]);
    // The authority decides where no rule does.
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await["type"], "subscribed");
    ada.ask(json!({"type": "auth", "token": "ada/admin/s1"})).await;
    assert_eq!(shares.take_asked(), ["ada share:a:1 a:1"]);
    publish(&rooms, &["share:a:1"], "e1").await;
    ada.expect("event").await;

    shares.of.lock().unwrap().clear();
    let since = json!({"epoch": place["epoch"], "offset": 0});
    let answer = ada.ask(json!({"type": "subscribe", "room": "share:a:1", "since": since})).await;
    assert_eq!(answer["code"], "FORBIDDEN");
    publish(&rooms, &["share:a:1"], "e2").await;
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_takes_what_a_rule_forbids_now() {
    let shares = Shares::default();
    shares.of.lock().unwrap().push(("ada", "1"));
    let mut config = config();
    config.rules.insert(0, RoomRule::prefix("share:").authorised_by(shares.clone()));
    let rooms = node_with(config);
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    ada.ask(json!({"type": "subscribe", "room": "share:1"})).await;
    shares.of.lock().unwrap().clear();
    let gone = ada.ask(json!({"type": "auth", "token": "ada/admin/s1"})).await;
    assert_eq!((&gone["type"], &gone["room"]), (&json!("unsubscribed"), &json!("share:1")));
    ada.expect("authenticated").await;
}

/// What the server alone joins is nobody's to ask for, whatever an authoriser would say.
#[tokio::test(start_paused = true)]
async fn a_room_of_the_servers_is_not_asked_about() {
    let shares = Shares::default();
    shares.of.lock().unwrap().push(("ada", "1"));
    let mut config = config();
    config.rules.insert(0, RoomRule::prefix("share:").server_only().authorised_by(shares.clone()));
    let rooms = node_with(config);
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "share:1"})).await["code"], "FORBIDDEN");
    assert!(shares.take_asked().is_empty());
}

/// One that does not answer has the authority's deadline.
#[tokio::test(start_paused = true)]
async fn a_silent_authoriser_is_unavailable() {
    let mut config = config();
    config.rules.insert(0, RoomRule::prefix("share:").authorised_by(Never(Arc::new(Semaphore::new(0)))));
    let rooms = node_with(config);
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    let answer = ada.ask(json!({"type": "subscribe", "room": "share:1"})).await;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("UNAVAILABLE"), &json!(true)));
    settle().await;
    assert!(!rooms.has_members(&crate::support::room("share:1")));
}
