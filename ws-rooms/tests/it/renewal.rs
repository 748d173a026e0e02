//! A renewal beside other requests.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, advance};
use tramline_ws_rooms::{Backplane, Rooms, Target};

use crate::support::{Gatekeeper, Peer, config, node, publish, room, settle};

/// In so many rooms about which the authority takes a second each.
async fn in_slow_rooms(rooms: &Rooms, count: usize) -> Peer {
    let mut ada = Peer::connect(rooms, "ada/customer/s1/3600").await;
    for n in 0..count {
        let answer = ada.ask(json!({"type": "subscribe", "room": format!("payment:slow-{n}")})).await;
        assert_eq!(answer["type"], "subscribed");
    }
    ada
}

#[tokio::test(start_paused = true)]
async fn it_asks_about_several_rooms_at_a_time_and_keeps_nobody_waiting() {
    let rooms = node();
    let mut ada = in_slow_rooms(&rooms, 24).await;
    let start = Instant::now();
    ada.send(json!({"type": "auth", "id": "a", "token": "ada/customer/s1/3600"})).await;
    settle().await;
    // Signs of life and other requests are answered at once.
    ada.quiet().await;
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await["type"], "subscribed");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(ada.expect("authenticated").await["id"], "a");
    assert_eq!(start.elapsed().as_secs(), 3, "24 rooms, eight at a time");
}

#[tokio::test(start_paused = true)]
async fn it_has_one_deadline_for_all_rooms() {
    let rooms = node();
    let mut ada = in_slow_rooms(&rooms, 80).await;
    let start = Instant::now();
    ada.send(json!({"type": "auth", "token": "ada/customer/s1/3600"})).await;
    ada.expect("authenticated").await;
    assert_eq!(start.elapsed().as_secs(), 5);
    // The same role: who was allowed stays.
    publish(&rooms, &["payment:slow-79"], "e1").await;
    ada.expect("event").await;
}

/// An authority that is silent says nothing for a new role; for the same one it has spoken before.
#[tokio::test(start_paused = true)]
async fn silence_keeps_a_room_and_gives_none() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    let mut ada = Peer::connect(&rooms, "ada/admin/s1/3600").await;
    gatekeeper.gate.add_permits(1);
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "payment:gated"})).await["type"], "subscribed");
    gatekeeper.gate.forget_permits(1);
    ada.send(json!({"type": "auth", "token": "ada/admin/s1/3600"})).await;
    ada.expect("authenticated").await;
    publish(&rooms, &["payment:gated"], "e1").await;
    ada.expect("event").await;
    ada.send(json!({"type": "auth", "token": "ada/customer/s1/3600"})).await;
    assert_eq!(ada.expect("unsubscribed").await["room"], "role:admin");
    let lost = ada.expect("unsubscribed").await;
    assert_eq!((&lost["room"], &lost["reason"]), (&json!("payment:gated"), &json!("forbidden")));
    ada.expect("authenticated").await;
}

/// The answer for the old role is on its way when the new one takes over.
#[tokio::test(start_paused = true)]
async fn an_answer_for_the_old_role_opens_nothing_to_the_new_one() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    let mut ada = Peer::connect(&rooms, "ada/customer/s1/3600").await;
    gatekeeper.door.forget_permits(usize::MAX >> 3);
    ada.send(json!({"type": "auth", "token": "ada/guest/s1/3600"})).await;
    settle().await;
    ada.send(json!({"type": "subscribe", "id": "s", "room": "payment:gated"})).await;
    settle().await;
    gatekeeper.door.add_permits(1);
    assert_eq!(ada.expect("unsubscribed").await["room"], "role:customer");
    gatekeeper.gate.add_permits(1);
    let answer = ada.expect("error").await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!("s"), &json!("FORBIDDEN")));
    ada.expect("authenticated").await;
    publish(&rooms, &["payment:gated"], "e1").await;
    ada.quiet().await;
}

/// The last token that came is the one that stays, however long the first takes.
#[tokio::test(start_paused = true)]
async fn renewals_come_one_after_another() {
    let rooms = node();
    let mut ada = in_slow_rooms(&rooms, 8).await;
    advance(Duration::from_secs(1)).await;
    for (id, role) in [("1", "admin"), ("2", "customer")] {
        ada.send(json!({"type": "auth", "id": id, "token": format!("ada/{role}/s1/3600")})).await;
    }
    for (id, left) in [("1", "role:customer"), ("2", "role:admin")] {
        assert_eq!(ada.expect("unsubscribed").await["room"], left);
        assert_eq!(ada.expect("authenticated").await["id"], id);
    }
    publish(&rooms, &["role:admin"], "a").await;
    publish(&rooms, &["role:customer"], "c").await;
    assert_eq!(ada.expect("event").await["room"], "role:customer");
}

/// What happens to a room while the authority is asked about it.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The application gives it.
    Give,
    /// The application takes it.
    Take,
    /// The client leaves it.
    Leave,
}

impl Move {
    /// No move, one, two, or three of them, in each order.
    fn orders() -> impl Iterator<Item = Vec<Self>> {
        let all = [Self::Give, Self::Take, Self::Leave];
        let nth = move |number: usize, at: u32| all[number / all.len().pow(at) % all.len()];
        let of_length = move |length: u32| {
            (0..all.len().pow(length)).map(move |number| (0..length).map(|at| nth(number, at)).collect())
        };
        (0..4).flat_map(of_length)
    }
}

/// Who has the most to say of a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Client,
    Application,
    Nobody,
}

/// What was told of rooms by now, with the reason where there is one.
async fn told(peer: &mut Peer) -> Vec<(Value, Value)> {
    settle().await;
    peer.send(json!({"type": "ping", "id": "told"})).await;
    let mut told = Vec::new();
    loop {
        let frame = peer.next().await;
        if frame["id"] == "told" {
            return told;
        }
        told.push((frame["type"].clone(), frame["reason"].clone()));
    }
}

/// The authority's word is about a room that the client asked for. One that the application has given meanwhile is none of
/// its business, and of one that was left or taken meanwhile there is nothing more to say.
#[tokio::test(start_paused = true)]
async fn a_no_that_comes_late_takes_only_what_was_asked_for() {
    let (gated, ada_is) = (room("payment:gated"), Target::User("ada".into()));
    for order in Move::orders() {
        let gatekeeper = Gatekeeper::default();
        let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
        let mut ada = Peer::connect(&rooms, "ada/customer/s1/3600").await;
        gatekeeper.gate.add_permits(1);
        let answer = ada.ask(json!({"type": "subscribe", "room": "payment:gated"})).await;
        assert_eq!(answer["type"], "subscribed");
        gatekeeper.gate.forget_permits(1);
        ada.send(json!({"type": "auth", "token": "ada/guest/s1/3600"})).await;
        assert_eq!(ada.expect("unsubscribed").await["room"], "role:customer");

        let mut by = By::Client;
        for step in &order {
            match step {
                Move::Give => assert_eq!(rooms.join(&ada_is, &gated), 1),
                Move::Take => assert_eq!(rooms.leave(&ada_is, &gated), usize::from(by != By::Nobody)),
                Move::Leave => ada.send(json!({"type": "unsubscribe", "room": "payment:gated"})).await,
            }
            let told = told(&mut ada).await;
            let expected = match (step, by) {
                (Move::Give, _) => vec![(json!("subscribed"), json!(null))],
                (Move::Take, By::Nobody) => vec![],
                (Move::Take, _) => vec![(json!("unsubscribed"), json!("forbidden"))],
                (Move::Leave, By::Application) => vec![(json!("error"), json!(null))],
                (Move::Leave, _) => vec![(json!("unsubscribed"), json!(null))],
            };
            assert_eq!(told, expected, "{step:?} of {order:?}");
            by = match (step, by) {
                (Move::Give, _) | (Move::Leave, By::Application) => By::Application,
                (Move::Take | Move::Leave, _) => By::Nobody,
            };
        }

        // A guest may not be there.
        gatekeeper.gate.add_permits(1);
        let mut last = told(&mut ada).await;
        assert_eq!(last.pop(), Some((json!("authenticated"), json!(null))), "{order:?}");
        let expected = match by {
            By::Client => vec![(json!("unsubscribed"), json!("forbidden"))],
            By::Application | By::Nobody => vec![],
        };
        assert_eq!(last, expected, "{order:?}");
        let stays = by == By::Application;
        assert_eq!(rooms.has_members(&gated), stays, "{order:?}");
        publish(&rooms, &["payment:gated"], "e1").await;
        let event = told(&mut ada).await;
        let expected = if stays { vec![(json!("event"), json!(null))] } else { vec![] };
        assert_eq!(event, expected, "{order:?}");
    }
}
