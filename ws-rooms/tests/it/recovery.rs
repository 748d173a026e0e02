//! Whole or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tramline_ws_rooms::backplane::{Driver, Fanout, Loss, MemoryBackplane, Recovery, RecoveryBounds, Sink};
use tramline_ws_rooms::protocol::{Member, Position};
use tramline_ws_rooms::{Backplane, Error, GapReason, HistoryConfig, Revocation, RoomId, Rooms};

use crate::support::{Gatekeeper, Peer, bulky, config, node, publish, settle};

fn ids(answer: &Value) -> Vec<(u64, &str)> {
    let events = answer["events"].as_array().unwrap();
    events
        .iter()
        .map(|entry| (entry["offset"].as_u64().unwrap(), entry["event"]["id"].as_str().unwrap()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_was_missed() {
    let rooms = node();
    let ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let since = ada.place("user:ada");
    drop(ada);
    settle().await;
    assert_eq!(rooms.stats().connections, 0);
    for id in ["e1", "e2", "e3"] {
        publish(&rooms, &["user:ada"], id).await;
    }
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    assert_eq!(ada.place("user:ada")["offset"], 3);
    let answer = ada.ask(json!({"type": "subscribe", "id": "r", "room": "user:ada", "since": since})).await;
    assert_eq!((&answer["recovered"], &answer["offset"]), (&json!(true), &json!(3)));
    assert_eq!(ids(&answer), [(1, "e1"), (2, "e2"), (3, "e3")]);
    // And again, with nothing missed.
    let since = json!({"epoch": answer["epoch"], "offset": 3});
    let answer = ada.ask(json!({"type": "subscribe", "room": "user:ada", "since": since})).await;
    assert_eq!((&answer["recovered"], &answer["events"]), (&json!(true), &json!([])));
    publish(&rooms, &["user:ada"], "e4").await;
    assert_eq!(ada.expect("event").await["offset"], 4);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recovered_whole_comes_with_nothing() {
    let mut history = HistoryConfig::default();
    history.count = 400;
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::memory_with(history));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let subscribed = ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    let epoch = &subscribed["epoch"];
    let mut ask = async |epoch: &Value, offset: u64| {
        let since = json!({"epoch": epoch, "offset": offset});
        ada.send(json!({"type": "subscribe", "id": "r", "room": "payment:1", "since": since})).await;
        loop {
            let frame = ada.next().await;
            if frame["type"] == "subscribed" {
                assert_eq!(frame["events"], json!([]));
                assert_eq!(frame["recovered"], false);
                return frame["reason"].as_str().unwrap().to_owned();
            }
        }
    };
    for n in 0..300 {
        publish(&rooms, &["payment:1"], &format!("a{n}")).await;
    }
    assert_eq!(ask(epoch, 0).await, "too_many");
    assert_eq!(ask(&json!("other"), 0).await, "epoch");
    assert_eq!(ask(epoch, 301).await, "epoch");
    for n in 300..401 {
        publish(&rooms, &["payment:1"], &format!("a{n}")).await;
    }
    assert_eq!(ask(epoch, 0).await, "trimmed");
    // Age trims too; the client reads on meanwhile.
    for _ in 0..61 {
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(matches!(ask(epoch, 0).await.as_str(), "trimmed"));
    }
    assert_eq!(ask(epoch, 400).await, "trimmed");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_is_bounded_in_bytes() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let since = ada.place("user:ada");
    for n in 0..4 {
        rooms.publish(bulky(&["user:ada"], &format!("b{n}"), 60_000)).await.unwrap();
        ada.expect("event").await;
    }
    let answer = ada.ask(json!({"type": "subscribe", "room": "user:ada", "since": since})).await;
    assert_eq!(answer["reason"], "too_many");
}

#[tokio::test(start_paused = true)]
async fn a_room_is_remembered_for_a_while_even_if_nothing_ever_happened_in_it() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1/3600").await;
    let first = ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    let since = json!({"epoch": first["epoch"], "offset": 0});
    let ask = json!({"type": "subscribe", "room": "payment:1", "since": since});
    ada.ask(json!({"type": "unsubscribe", "room": "payment:1"})).await;
    tokio::time::advance(Duration::from_secs(200)).await;
    let again = ada.ask(ask.clone()).await;
    assert_eq!((&again["recovered"], &again["epoch"]), (&json!(true), &first["epoch"]));

    // Then it is forgotten, and an old place is never taken for a new one.
    ada.ask(json!({"type": "unsubscribe", "room": "payment:1"})).await;
    for _ in 0..60 {
        tokio::time::advance(Duration::from_secs(5)).await;
        ada.quiet().await;
    }
    let last = ada.ask(ask).await;
    assert_ne!(first["epoch"], last["epoch"]);
    assert_eq!((&last["recovered"], &last["reason"]), (&json!(false), &json!("epoch")));
}

#[tokio::test(start_paused = true)]
async fn a_lost_source_starts_new_epochs_and_says_so() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    publish(&rooms, &["user:ada"], "e1").await;
    ada.expect("event").await;
    let old = ada.place("user:ada");
    rooms.new_epochs().await;
    let mut gaps = std::collections::HashMap::new();
    for _ in 0..3 {
        let gap = ada.expect("gap").await;
        assert_eq!((&gap["reason"], &gap["offset"]), (&json!("source"), &json!(0)));
        gaps.insert(gap["room"].as_str().unwrap().to_owned(), gap["epoch"].clone());
    }
    assert_ne!(gaps["user:ada"], old["epoch"]);
    publish(&rooms, &["user:ada"], "e2").await;
    assert_eq!(ada.expect("event").await["offset"], 1);
    let answer = ada.ask(json!({"type": "subscribe", "room": "user:ada", "since": old})).await;
    assert_eq!((&answer["reason"], &answer["epoch"]), (&json!("epoch"), &gaps["user:ada"]));

    rooms.gap_all(GapReason::Source).await;
    for _ in 0..3 {
        let gap = ada.expect("gap").await;
        let room = gap["room"].as_str().unwrap();
        assert_eq!(gap["epoch"], gaps[room]);
        assert_eq!(gap["offset"], u64::from(room == "user:ada"));
    }
}

/// A backplane whose history is slow, like one behind a network.
#[derive(Clone)]
struct Slow {
    inner: MemoryBackplane,
    /// A recovery waits for a permit before it reads the history,
    before: Arc<Semaphore>,
    /// and for another before it answers.
    after: Arc<Semaphore>,
    failing: Arc<AtomicBool>,
}

impl Slow {
    fn new() -> Self {
        Self {
            inner: MemoryBackplane::new(HistoryConfig::default()),
            before: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            after: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            failing: Arc::default(),
        }
    }

    /// The next recoveries wait.
    fn shut(gate: &Semaphore) {
        gate.forget_permits(Semaphore::MAX_PERMITS);
    }
}

impl Driver for Slow {
    fn attach(&self, sink: Sink) {
        self.inner.attach(sink);
    }

    async fn publish(&self, fanout: Fanout) -> Result<(), Error> {
        self.inner.publish(fanout).await
    }

    async fn join(&self, room: &RoomId) -> Result<(), Error> {
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
        self.before.acquire().await.unwrap().forget();
        let recovery = self.inner.recover(room, since, bounds).await;
        self.after.acquire().await.unwrap().forget();
        if self.failing.load(Ordering::Relaxed) {
            return Err(Error::new(tramline_ws_rooms::ErrorKind::Backplane));
        }
        recovery
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
}

#[tokio::test(start_paused = true)]
async fn live_frames_wait_for_the_recovery_and_none_comes_twice() {
    let slow = Slow::new();
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::new(slow.clone()));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let since = ada.place("user:ada");
    publish(&rooms, &["user:ada"], "e1").await;
    ada.expect("event").await;

    Slow::shut(&slow.before);
    Slow::shut(&slow.after);
    ada.send(json!({"type": "subscribe", "id": "r", "room": "user:ada", "since": since})).await;
    settle().await;
    publish(&rooms, &["user:ada"], "e2").await;
    slow.before.add_permits(1);
    settle().await;
    // The history was read at 2; what comes now is beyond it.
    publish(&rooms, &["user:ada", "broadcast"], "e3").await;
    publish(&rooms, &["broadcast", "user:ada"], "e4").await;
    // `broadcast` is not held: e3 has not come yet, so it comes there.
    for (offset, id) in [(1, "e3"), (2, "e4")] {
        let event = ada.expect("event").await;
        assert_eq!((&event["room"], &event["offset"]), (&json!("broadcast"), &json!(offset)));
        assert_eq!(event["event"]["id"], id);
    }
    slow.after.add_permits(1);
    let answer = ada.expect("subscribed").await;
    assert_eq!(ids(&answer), [(1, "e1"), (2, "e2")]);
    for (offset, id) in [(3, "e3"), (4, "e4")] {
        let moved = ada.expect("position").await;
        let expected = json!({"type": "position", "room": "user:ada", "offset": offset, "id": id});
        assert_eq!(moved, expected);
    }
    ada.quiet().await;
}

/// The history was on its way when the right ended: the answer is none, and nothing of it is told.
#[tokio::test(start_paused = true)]
async fn a_room_that_is_taken_during_a_recovery_is_not_answered_with_it() {
    let slow = Slow::new();
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::new(slow.clone()));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    Slow::shut(&slow.after);
    ada.send(json!({"type": "subscribe", "id": "r", "room": "payment:1"})).await;
    settle().await;
    let until = jiff::Timestamp::now() + Duration::from_secs(60);
    let room = crate::support::room("payment:1");
    rooms.revoke(Revocation::user("ada", until).in_room(room)).await.unwrap();
    publish(&rooms, &["payment:1"], "e1").await;
    assert_eq!(ada.expect("unsubscribed").await["room"], "payment:1");
    slow.after.add_permits(1);
    let answer = ada.expect("error").await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!("r"), &json!("UNAVAILABLE")));
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_overflows_fails_closed() {
    let slow = Slow::new();
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::new(slow.clone()));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let since = ada.place("user:ada");
    Slow::shut(&slow.after);
    ada.send(json!({"type": "subscribe", "id": "r", "room": "user:ada", "since": since})).await;
    settle().await;
    for n in 0..5 {
        rooms.publish(bulky(&["user:ada"], &format!("b{n}"), 20_000)).await.unwrap();
    }
    slow.after.add_permits(1);
    let answer = ada.expect("subscribed").await;
    assert_eq!((&answer["recovered"], &answer["reason"]), (&json!(false), &json!("too_many")));
    assert_eq!((&answer["offset"], &answer["events"]), (&json!(5), &json!([])));
    publish(&rooms, &["user:ada"], "e6").await;
    assert_eq!(ada.expect("event").await["offset"], 6);
}

/// A member asks again without `since`: the answer brings no events, so one that is published meanwhile must follow
/// it and not hide behind the position it tells.
#[tokio::test(start_paused = true)]
async fn a_question_without_since_claims_no_event_that_it_does_not_bring() {
    let slow = Slow::new();
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::new(slow.clone()));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    Slow::shut(&slow.before);
    ada.send(json!({"type": "subscribe", "id": "r", "room": "user:ada"})).await;
    settle().await;
    publish(&rooms, &["user:ada"], "meanwhile").await;
    slow.before.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(ada.expect("subscribed").await["offset"], 0);
    assert_eq!(ada.expect("event").await["offset"], 1);
}

#[tokio::test(start_paused = true)]
async fn new_epochs_during_a_recovery_leave_no_hole() {
    let slow = Slow::new();
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::new(slow.clone()));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let since = ada.place("user:ada");
    for read_before in [true, false] {
        let gate = if read_before { &slow.after } else { &slow.before };
        Slow::shut(gate);
        let ask = json!({"type": "subscribe", "id": "r", "room": "user:ada", "since": since});
        ada.send(ask).await;
        settle().await;
        publish(&rooms, &["user:ada"], &format!("old{read_before}")).await;
        rooms.new_epochs().await;
        publish(&rooms, &["user:ada"], &format!("new{read_before}")).await;
        gate.add_permits(1);
        settle().await;
        gate.add_permits(Semaphore::MAX_PERMITS);
        let mut frames = Vec::new();
        ada.frame_until_pong(&mut frames).await;
        let kinds: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
        if read_before {
            // Read in the old numbering: the old event, the change, and the new event.
            assert_eq!(kinds, ["subscribed", "event", "gap", "event"]);
            assert_eq!(frames[3]["offset"], 1);
        } else {
            // Read in the new one: it covers everything.
            assert_eq!(kinds, ["subscribed"]);
            assert_eq!((&frames[0]["offset"], &frames[0]["reason"]), (&json!(1), &json!("epoch")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backplane_that_fails_is_told_and_nothing_is_lost() {
    let slow = Slow::new();
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::new(slow.clone()));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let since = ada.place("user:ada");
    slow.failing.store(true, Ordering::Relaxed);
    let answer = ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("UNAVAILABLE"), &json!(true)));
    publish(&rooms, &["payment:1"], "e1").await;
    ada.quiet().await;

    // In a room where it was, it stays, and what was held is let go.
    Slow::shut(&slow.after);
    ada.send(json!({"type": "subscribe", "room": "user:ada", "since": since})).await;
    settle().await;
    publish(&rooms, &["user:ada"], "e2").await;
    slow.after.add_permits(1);
    assert_eq!(ada.expect("event").await["offset"], 1);
    assert_eq!(ada.expect("error").await["code"], "UNAVAILABLE");
}

/// The welcome waits for its rooms, and the token is about to end: nothing comes before the one, and the notice of the
/// other is not lost.
#[tokio::test(start_paused = true)]
async fn no_sign_of_life_comes_before_the_welcome() {
    let slow = Slow::new();
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::new(slow.clone()));
    Slow::shut(&slow.before);
    let connecting = tokio::spawn(async move { Peer::connect(&rooms, "ada/customer/s1/20").await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    slow.before.add_permits(1_000);
    // `connect` leaves aside what comes before the welcome, which then is missing here.
    let mut ada = connecting.await.unwrap();
    assert!(ada.frame().await.unwrap().get("expiresAt").is_some());
}
