//! Who put a connection into a room, and so who may take it out again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tramline_ws_rooms::client::Client;
use tramline_ws_rooms::{Backplane, Credential, Revocation, RoomRule, Rooms, Target};

use crate::counts::Counting;
use crate::support::{Gatekeeper, Peer, config, node, peer, publish, room, settle};

fn ada() -> Target {
    Target::User("ada".into())
}

/// Renews, and says what the connection lost by it.
async fn renew(peer: &mut Peer, token: &str) -> Vec<Value> {
    peer.send(json!({"type": "auth", "token": token})).await;
    let mut lost = Vec::new();
    loop {
        let frame = peer.next().await;
        match frame["type"].as_str() {
            Some("authenticated") => return lost,
            Some("unsubscribed") => lost.push(frame["room"].clone()),
            _ => panic!("{frame}"),
        }
    }
}

/// The token named it first, or the application gave it first: it stays when a later token does not name it, until the
/// application takes it.
#[tokio::test(start_paused = true)]
async fn what_the_token_names_and_the_application_gives_is_the_applications() {
    let desk = room("role:customer");
    for first in ["customer", "guest"] {
        let rooms = node();
        let mut peer = Peer::connect(&rooms, &format!("ada/{first}/s1")).await;
        assert_eq!(rooms.join(&ada(), &desk), 1);
        assert_eq!(peer.expect("subscribed").await["room"], "role:customer");
        let lost = renew(&mut peer, "ada/customer/s1").await;
        assert_eq!(lost, if first == "guest" { vec![json!("role:guest")] } else { vec![] });
        // Neither token nor authority give it any more.
        renew(&mut peer, "ada/admin/s1").await;
        publish(&rooms, &["role:customer"], "e1").await;
        assert_eq!(peer.expect("event").await["room"], "role:customer");
        assert_eq!(
            peer.ask(json!({"type": "unsubscribe", "room": "role:customer"})).await["code"],
            "FORBIDDEN"
        );
        assert_eq!(rooms.leave(&ada(), &desk), 1);
        assert_eq!(peer.expect("unsubscribed").await["room"], "role:customer");
        assert!(!rooms.has_members(&desk));
    }
}

/// A leave is about now: what a token names comes back with the next one.
#[tokio::test(start_paused = true)]
async fn what_the_token_names_is_taken_until_the_next_token() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    assert_eq!(rooms.leave(&ada(), &room("role:customer")), 1);
    assert_eq!(peer.expect("unsubscribed").await["room"], "role:customer");
    assert_eq!(peer.ask(json!({"type": "subscribe", "room": "role:customer"})).await["code"], "FORBIDDEN");
    assert!(renew(&mut peer, "ada/customer/s1").await.is_empty());
    publish(&rooms, &["role:customer"], "e1").await;
    peer.expect("event").await;
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_and_is_given_is_not_the_clients_any_more() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    peer.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    rooms.join(&ada(), &room("payment:1"));
    peer.expect("subscribed").await;
    assert_eq!(peer.ask(json!({"type": "unsubscribe", "room": "payment:1"})).await["code"], "FORBIDDEN");
    // The authority lets no guest in, and has nothing to say here.
    assert_eq!(renew(&mut peer, "ada/guest/s1").await, [json!("role:customer")]);
    publish(&rooms, &["payment:1"], "e1").await;
    peer.expect("event").await;
}

/// A token that has lost its right to a room brings no connection along that is there by another one.
#[tokio::test(start_paused = true)]
async fn a_renewal_takes_what_was_revoked_for_its_session_whoever_gave_it() {
    let rooms = node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    peer.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    rooms.join(&ada(), &room("payment:2"));
    peer.expect("subscribed").await;
    let until = Timestamp::now() + Duration::from_secs(60);
    for place in ["broadcast", "payment:1", "payment:2"] {
        rooms.revoke(Revocation::session("s2", until).in_room(room(place))).await.unwrap();
    }
    peer.quiet().await;
    let mut lost = renew(&mut peer, "ada/customer/s2").await;
    lost.sort_by_key(Value::to_string);
    assert_eq!(lost, ["broadcast", "payment:1", "payment:2"]);
    publish(&rooms, &["broadcast", "payment:1", "payment:2"], "e1").await;
    peer.quiet().await;
}

/// The welcome is the first frame, and names what is there: not what was taken while the rest was joined.
#[tokio::test(start_paused = true)]
async fn nothing_is_said_before_the_welcome() {
    let counting = Counting::new("broadcast");
    let mut config = config();
    config.rules.insert(0, RoomRule::prefix("user:").server_only().with_presence());
    let rooms = Rooms::new(config, Gatekeeper::default(), Backplane::new(counting.clone()));
    counting.gate.add_permits(1);
    let _eve = Peer::connect(&rooms, "eve/customer/s2").await;
    let admission = rooms.admit(Credential::Bearer("ada/customer/s1".into()), peer()).await.unwrap();
    let (near, far) = tokio::io::duplex(4_096);
    let server = rooms.clone();
    tokio::spawn(async move { server.serve(admission, far).await });
    settle().await;
    assert_eq!(rooms.leave(&ada(), &room("role:customer")), 1, "what is before it is joined");
    // Somebody comes into a room that the client has not heard of.
    assert_eq!(rooms.join(&Target::User("eve".into()), &room("user:ada")), 1);
    settle().await;
    counting.gate.add_permits(Semaphore::MAX_PERMITS >> 1);
    let mut client = Client::over(near).await;
    let first: Value = serde_json::from_str(&client.next_text().await.unwrap().unwrap()).unwrap();
    assert_eq!(first["type"], "welcome", "{first}");
    let names: Vec<_> = first["rooms"].as_array().unwrap().iter().map(|place| &place["room"]).collect();
    assert_eq!(names, ["user:ada", "broadcast"]);
}

/// A room that is taken while the backplane is asked about it was not refused: nobody is sent away for it.
#[tokio::test(start_paused = true)]
async fn a_join_that_fails_after_its_leave_ends_nothing() {
    let mut counting = Counting::new("payment:1");
    counting.fails = true;
    let rooms = counting.node();
    let mut peer = Peer::connect(&rooms, "ada/customer/s1").await;
    rooms.join(&ada(), &room("payment:1"));
    settle().await;
    assert_eq!(rooms.leave(&ada(), &room("payment:1")), 1);
    assert_eq!(peer.expect("unsubscribed").await["room"], "payment:1");
    counting.gate.add_permits(1);
    settle().await;
    peer.quiet().await;
    // Without the leave it is.
    rooms.join(&ada(), &room("payment:1"));
    counting.gate.add_permits(1);
    assert_eq!(peer.rest().await.1, Some(4202));
}
