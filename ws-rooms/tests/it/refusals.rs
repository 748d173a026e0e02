//! A backplane that does not take a join.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tramline_ws_rooms::backplane::{Driver, Fanout, Loss, MemoryBackplane, Recovery, RecoveryBounds, Sink};
use tramline_ws_rooms::client::Client;
use tramline_ws_rooms::protocol::{Member, Position};
use tramline_ws_rooms::{
    Backplane, Credential, Error, ErrorKind, GapReason, HistoryConfig, Revocation, RoomId, Rooms,
};

use crate::support::{Gatekeeper, Peer, config, peer, publish};

/// Refuses, while told to, joins of one room, or the reading of its history.
#[derive(Clone)]
struct Fickle {
    inner: MemoryBackplane,
    room: &'static str,
    no_join: Arc<AtomicBool>,
    no_history: Arc<AtomicBool>,
    tidied: Arc<AtomicU32>,
}

impl Fickle {
    fn about(room: &'static str) -> Self {
        Self {
            inner: MemoryBackplane::new(HistoryConfig::default()),
            room,
            no_join: Arc::default(),
            no_history: Arc::default(),
            tidied: Arc::default(),
        }
    }

    fn node(&self) -> Rooms {
        Rooms::new(config(), Gatekeeper::default(), Backplane::new(self.clone()))
    }

    fn refused(&self, room: &RoomId, when: &AtomicBool) -> Result<(), Error> {
        if room.as_str() == self.room && when.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Backplane));
        }
        Ok(())
    }
}

impl Driver for Fickle {
    fn attach(&self, sink: Sink) {
        self.inner.attach(sink);
    }

    async fn publish(&self, fanout: Fanout) -> Result<(), Error> {
        self.inner.publish(fanout).await
    }

    async fn join(&self, room: &RoomId) -> Result<(), Error> {
        self.refused(room, &self.no_join)?;
        self.inner.join(room).await
    }

    fn leave(&self, room: &RoomId) {
        self.inner.leave(room);
    }

    async fn recover(
        &self,
        room: &RoomId,
        since: Option<&Position>,
        bounds: RecoveryBounds,
    ) -> Result<Recovery, Error> {
        self.refused(room, &self.no_history)?;
        self.inner.recover(room, since, bounds).await
    }

    async fn skip(&self, rooms: &[RoomId], id: &str, reason: GapReason) -> Result<(), Error> {
        self.inner.skip(rooms, id, reason).await
    }

    async fn lose_place(&self, loss: Loss) {
        self.inner.lose_place(loss).await;
    }

    fn enter(&self, room: &RoomId, user: &Arc<str>) {
        self.inner.enter(room, user);
    }

    fn exit(&self, room: &RoomId, user: &Arc<str>, after: Duration) {
        self.inner.exit(room, user, after);
    }

    async fn present(&self, room: &RoomId) -> Result<Vec<Member>, Error> {
        self.inner.present(room).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), Error> {
        self.inner.revoke(revocation).await
    }

    fn tidy(&self) {
        self.tidied.fetch_add(1, Ordering::Relaxed);
    }
}

/// All frames of a connection that may not come to its welcome, and its close code.
async fn attempt(rooms: &Rooms, token: &str) -> (Vec<Value>, Option<u16>) {
    let admission = rooms.admit(Credential::Bearer(token.into()), peer()).await.unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn({
        let rooms = rooms.clone();
        async move { rooms.serve(admission, far).await }
    });
    let mut client = Client::over(near).await;
    let mut frames = Vec::new();
    while let Some(text) = client.next_text().await.unwrap() {
        frames.push(serde_json::from_str(&text).unwrap());
    }
    server.await.unwrap();
    (frames, client.close_code())
}

/// Who is in a room of the server's without hearing it would never know.
#[tokio::test(start_paused = true)]
async fn nobody_stays_deaf_in_a_room_of_the_servers() {
    for when in [|fickle: &Fickle| fickle.no_join.clone(), |fickle: &Fickle| fickle.no_history.clone()] {
        let fickle = Fickle::about("user:ada");
        let rooms = fickle.node();
        when(&fickle).store(true, Ordering::Relaxed);
        let mut delays = std::collections::HashSet::new();
        for _ in 0..4 {
            let (frames, code) = attempt(&rooms, "ada/customer/s1").await;
            assert_eq!((frames.len(), code), (1, Some(4202)), "{frames:?}");
            assert_eq!((&frames[0]["type"], &frames[0]["code"]), (&json!("goodbye"), &json!(4202)));
            let delay = frames[0]["retryAfterMs"].as_u64().unwrap();
            assert!((1_000..=5_000).contains(&delay));
            delays.insert(delay);
        }
        assert!(delays.len() > 1, "drawn for each");
        assert_eq!((rooms.stats().connections, rooms.stats().rooms), (0, 0));
        // Who does not need the room is not concerned.
        Peer::connect(&rooms, "bob/customer/s2").await;
        when(&fickle).store(false, Ordering::Relaxed);
        let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
        publish(&rooms, &["user:ada"], "e1").await;
        assert_eq!(ada.expect("event").await["event"]["id"], "e1");
    }
}

#[tokio::test(start_paused = true)]
async fn nor_in_one_that_a_renewal_brings() {
    let fickle = Fickle::about("role:admin");
    let rooms = fickle.node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    fickle.no_join.store(true, Ordering::Relaxed);
    ada.send(json!({"type": "auth", "id": "a", "token": "ada/admin/s1"})).await;
    assert_eq!(ada.expect("unsubscribed").await["room"], "role:customer");
    let goodbye = ada.expect("goodbye").await;
    assert_eq!(goodbye["code"], 4202);
    assert!(goodbye["retryAfterMs"].as_u64().unwrap() >= 1_000);
    assert_eq!(ada.rest().await.1, Some(4202));
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_refused_is_seen_by_nobody() {
    let fickle = Fickle::about("payment:1");
    let rooms = fickle.node();
    let mut bob = Peer::connect(&rooms, "bob/customer/s1").await;
    let mut ada = Peer::connect(&rooms, "ada/customer/s2").await;
    let ask = json!({"type": "subscribe", "room": "payment:1"});
    bob.ask(ask.clone()).await;
    for flag in [&fickle.no_join, &fickle.no_history] {
        flag.store(true, Ordering::Relaxed);
        assert_eq!(ada.ask(ask.clone()).await["code"], "UNAVAILABLE");
        flag.store(false, Ordering::Relaxed);
        // Neither that somebody came, nor that they went.
        bob.quiet().await;
        let answer = bob.ask(json!({"type": "presence", "room": "payment:1"})).await;
        assert_eq!(answer["members"], json!([{"userId": "bob", "connections": 1}]));
    }
    assert_eq!(ada.ask(ask).await["type"], "subscribed");
    assert_eq!(bob.expect("joined").await["userId"], "ada");
}

/// The join of a user's second connection fails: it was never shown, so it takes nothing of the first one away.
#[tokio::test(start_paused = true)]
async fn a_join_that_is_refused_takes_nobody_out() {
    let fickle = Fickle::about("payment:1");
    let rooms = fickle.node();
    let ask = json!({"type": "subscribe", "room": "payment:1"});
    let mut tab = Peer::connect(&rooms, "ada/customer/s1").await;
    tab.ask(ask.clone()).await;
    let mut phone = Peer::connect(&rooms, "ada/customer/s2").await;
    for flag in [&fickle.no_join, &fickle.no_history] {
        flag.store(true, Ordering::Relaxed);
        assert_eq!(phone.ask(ask.clone()).await["code"], "UNAVAILABLE");
        flag.store(false, Ordering::Relaxed);
        let answer = tab.ask(json!({"type": "presence", "room": "payment:1"})).await;
        assert_eq!(answer["members"], json!([{"userId": "ada", "connections": 1}]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_is_called_to_tidy_up_while_nothing_happens() {
    let fickle = Fickle::about("none");
    let rooms = fickle.node();
    let _quiet = Peer::connect(&rooms, "ada/customer/s1").await;
    let before = fickle.tidied.load(Ordering::Relaxed);
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(1)).await;
        crate::support::settle().await;
    }
    assert!(fickle.tidied.load(Ordering::Relaxed) >= before + 9);
}
