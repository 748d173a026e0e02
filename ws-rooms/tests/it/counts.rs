//! A backplane's count of members, which takes its time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tramline_ws_rooms::backplane::{Driver, Fanout, Loss, MemoryBackplane, Recovery, RecoveryBounds, Sink};
use tramline_ws_rooms::protocol::{Member, Position};
use tramline_ws_rooms::{Backplane, Error, ErrorKind, GapReason, HistoryConfig, Revocation, RoomId, Rooms};

use crate::support::{Gatekeeper, Peer, config, settle};

/// Counts members of one room when there is a permit, and writes down what it did.
#[derive(Clone)]
pub(crate) struct Counting {
    inner: MemoryBackplane,
    room: &'static str,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) fails: bool,
    done: Arc<Mutex<Vec<&'static str>>>,
}

impl Counting {
    pub(crate) fn new(room: &'static str) -> Self {
        Self {
            room,
            inner: MemoryBackplane::new(HistoryConfig::default()),
            gate: Arc::new(Semaphore::new(0)),
            fails: false,
            done: Arc::default(),
        }
    }

    pub(crate) fn node(&self) -> Rooms {
        Rooms::new(config(), Gatekeeper::default(), Backplane::new(self.clone()))
    }

    fn done(&self) -> Vec<&'static str> {
        self.done.lock().unwrap().clone()
    }
}

impl Driver for Counting {
    fn attach(&self, sink: Sink) {
        self.inner.attach(sink);
    }

    async fn publish(&self, fanout: Fanout) -> Result<(), Error> {
        self.inner.publish(fanout).await
    }

    async fn join(&self, room: &RoomId) -> Result<(), Error> {
        if room.as_str() == self.room {
            self.gate.acquire().await.unwrap().forget();
            if self.fails {
                return Err(Error::new(ErrorKind::Backplane));
            }
            self.done.lock().unwrap().push("join");
        }
        self.inner.join(room).await
    }

    fn leave(&self, room: &RoomId) {
        if room.as_str() == self.room {
            self.done.lock().unwrap().push("leave");
        }
        self.inner.leave(room);
    }

    async fn recover(
        &self,
        room: &RoomId,
        since: Option<&Position>,
        bounds: RecoveryBounds,
    ) -> Result<Recovery, Error> {
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
}

/// A renewal takes a room away whose join is on its way. A leave that came first would count for nothing, and the
/// member that is counted after it would be there for ever.
#[tokio::test(start_paused = true)]
async fn a_leave_does_not_overtake_its_join() {
    let (counting, keeper) = (Counting::new("payment:1"), Gatekeeper::default());
    let rooms = Rooms::new(config(), keeper.clone(), Backplane::new(counting.clone()));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    keeper.door.forget_permits(Semaphore::MAX_PERMITS);
    ada.send(json!({"type": "auth", "id": "a", "token": "ada/guest/s1"})).await;
    ada.send(json!({"type": "subscribe", "id": "s", "room": "payment:1"})).await;
    settle().await;
    keeper.door.add_permits(1);
    assert_eq!(ada.expect("unsubscribed").await["room"], "role:customer");
    let taken = ada.expect("unsubscribed").await;
    assert_eq!((&taken["room"], &taken["reason"]), (&json!("payment:1"), &json!("forbidden")));
    assert_eq!(counting.done(), [""; 0]);
    counting.gate.add_permits(1);
    assert_eq!(ada.expect("error").await["code"], "UNAVAILABLE");
    settle().await;
    assert_eq!(counting.done(), ["join", "leave"]);
}

/// What a driver has done of a question that is cut short, nobody knows: it is not cut short.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_in_a_join_is_counted_and_leaves() {
    let counting = Counting::new("payment:1");
    let rooms = counting.node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    ada.send(json!({"type": "subscribe", "id": "s", "room": "payment:1"})).await;
    settle().await;
    drop(ada);
    settle().await;
    assert_eq!((rooms.stats().connections, counting.done().len()), (0, 0));
    counting.gate.add_permits(1);
    settle().await;
    assert_eq!(counting.done(), ["join", "leave"]);
}

#[tokio::test(start_paused = true)]
async fn who_was_not_counted_does_not_leave() {
    let mut counting = Counting::new("payment:1");
    counting.fails = true;
    let rooms = counting.node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    counting.gate.add_permits(1);
    let answer = ada.ask(json!({"type": "subscribe", "id": "s", "room": "payment:1"})).await;
    assert_eq!(answer["code"], "UNAVAILABLE");
    drop(ada);
    settle().await;
    assert_eq!(counting.done(), [""; 0]);
}
