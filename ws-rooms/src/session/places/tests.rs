//! Every order in which a room can be given and taken while the task is at it.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Waker};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::*;
use crate::auth::{Authority, Credential, Identity, PeerInfo};
use crate::backplane::{Backplane, Driver, Fanout, Loss, MemoryBackplane, Recovery, RecoveryBounds, Sink};
use crate::config::{HistoryConfig, RoomsConfig};
use crate::error::Error;
use crate::protocol::{GapReason, Id, Member, Position, Request};
use crate::publication::Publication;
use crate::refusal::Refusal;
use crate::revocation::Revocation;
use crate::rooms::{Admission, Rooms};
use crate::session::{join, requests};
use crate::{Access, Target};

struct Anybody;

impl Authority for Anybody {
    async fn authenticate(&self, _: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        Ok(Identity::new("ada", "s1", Timestamp::now() + Duration::from_secs(900)))
    }

    async fn may_join(&self, _: &Identity, _: &RoomId) -> Access {
        Access::Allowed
    }
}

/// Counts a member, and reads a history, when there is a permit; knows how many members there are.
#[derive(Clone)]
struct Gated {
    inner: MemoryBackplane,
    gate: Arc<Semaphore>,
    members: Arc<Mutex<i32>>,
}

impl Driver for Gated {
    fn attach(&self, sink: Sink) {
        self.inner.attach(sink);
    }

    async fn publish(&self, fanout: Fanout) -> Result<(), Error> {
        self.inner.publish(fanout).await
    }

    async fn join(&self, room: &RoomId) -> Result<(), Error> {
        self.gate.acquire().await.expect("open").forget();
        *self.members.lock().expect("whole") += 1;
        self.inner.join(room).await
    }

    fn leave(&self, room: &RoomId) {
        *self.members.lock().expect("whole") -= 1;
        self.inner.leave(room);
    }

    async fn recover(
        &self,
        room: &RoomId,
        since: Option<&Position>,
        bounds: RecoveryBounds,
    ) -> Result<Recovery, Error> {
        self.gate.acquire().await.expect("open").forget();
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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// The application gives the room.
    Give,
    /// The application takes it.
    Take,
    /// The task leaves what it is to leave.
    Leave,
    /// The task takes a join up.
    Start,
    /// The join in progress goes on for as long as it can.
    Work,
    /// The backplane answers once.
    Answer,
}

const STEPS: [Step; 6] = [Step::Give, Step::Take, Step::Leave, Step::Start, Step::Work, Step::Answer];

/// A connection whose task is the test.
struct Stage {
    rooms: Rooms,
    driver: Gated,
    admission: Admission,
    room: RoomId,
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    events: usize,
    /// Events that were published when the room had been taken.
    taken: Vec<String>,
    last: Option<Step>,
}

impl Stage {
    async fn play(&mut self, step: Step) {
        let target = Target::Connection(self.admission.connection_id().to_owned());
        match step {
            Step::Give => _ = self.rooms.join(&target, &self.room),
            Step::Take => _ = self.rooms.leave(&target, &self.room),
            Step::Leave => {
                for room in self.admission.conn.take_leaves() {
                    join::expel(&self.admission.node, &self.admission.conn, &room);
                }
            }
            Step::Start => {
                let (node, conn) = (Arc::clone(&self.admission.node), Arc::clone(&self.admission.conn));
                if self.work.is_none()
                    && let Some(room) = conn.take_join()
                {
                    self.work = Some(Box::pin(requests::given(node, conn, room)));
                }
            }
            Step::Work => {
                let mut cx = Context::from_waker(Waker::noop());
                if self.work.as_mut().is_some_and(|work| work.as_mut().poll(&mut cx).is_ready()) {
                    self.work = None;
                }
            }
            Step::Answer => {
                self.driver.gate.add_permits(1);
                // Who asks may be a task of its own.
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            }
        }
        if matches!(step, Step::Give | Step::Take) {
            self.last = Some(step);
        }
        let id = self.publish().await;
        if self.last == Some(Step::Take) {
            self.taken.push(id);
        }
    }

    /// The client asks for the room, and gets it.
    async fn ask(&self) {
        self.driver.gate.add_permits(2);
        self.request(Request::Subscribe { room: self.room.to_string(), since: None }).await;
    }

    async fn request(&self, request: Request) {
        let (node, conn) = (Arc::clone(&self.admission.node), Arc::clone(&self.admission.conn));
        requests::answer(node, conn, Id::default(), request).await;
    }

    async fn publish(&mut self) -> String {
        self.events += 1;
        let id = format!("{}-{}", self.room, self.events);
        let event = format!(r#"{{"id":"{id}"}}"#);
        self.rooms
            .publish(Publication::new(id.as_str(), vec![self.room.clone()], event).unwrap())
            .await
            .unwrap();
        id
    }

    /// What has been queued for the client.
    fn told(&self) -> Vec<Value> {
        let mut frames = Vec::new();
        self.admission.conn.outbox(|outbox| {
            outbox.take(usize::MAX, |queued| {
                frames.push(serde_json::from_str(queued.text().as_str()).expect("a frame"));
            })
        });
        frames
    }
}

fn driver() -> Gated {
    Gated {
        inner: MemoryBackplane::new(HistoryConfig::default()),
        gate: Arc::new(Semaphore::new(0)),
        members: Arc::default(),
    }
}

async fn stage(rooms: &Rooms, driver: &Gated, room: &str) -> Stage {
    let peer = PeerInfo::new([192, 0, 2, 1].into());
    let admission = rooms.admit(Credential::Bearer(String::new()), peer).await.unwrap();
    admission.conn.heart.welcomed();
    driver.gate.forget_permits(Semaphore::MAX_PERMITS);
    Stage {
        rooms: rooms.clone(),
        driver: driver.clone(),
        admission,
        room: RoomId::parse(room).unwrap(),
        work: None,
        events: 0,
        taken: Vec::new(),
        last: None,
    }
}

/// Without a word of the application the room is asked for, or not at all.
fn orders() -> impl Iterator<Item = (bool, Vec<Step>)> {
    let order = |mut number: usize, length: u32| {
        let mut step = || {
            let step = STEPS[number % STEPS.len()];
            number /= STEPS.len();
            step
        };
        (0..length).map(|_| step()).collect::<Vec<_>>()
    };
    let numbers = |length: u32| 0..STEPS.len().pow(length);
    let given = numbers(4).map(move |number| (false, [vec![Step::Give], order(number, 4)].concat()));
    given.chain(numbers(5).map(move |number| (true, order(number, 5))))
}

/// The last word counts, whenever it comes; what is published after a take is not told; and nothing is left behind.
#[tokio::test(start_paused = true)]
async fn a_room_is_given_and_taken_in_any_order() {
    let driver = driver();
    let rooms = Rooms::new(RoomsConfig::default(), Anybody, Backplane::new(driver.clone()));
    for (number, (requested, steps)) in orders().enumerate() {
        let mut stage = stage(&rooms, &driver, &format!("r:{number}")).await;
        if requested {
            stage.ask().await;
        }
        for step in &steps {
            stage.play(*step).await;
        }
        for _ in 0..6 {
            for step in [Step::Leave, Step::Start, Step::Answer, Step::Work] {
                stage.play(step).await;
            }
        }
        let context = format!("{steps:?}, requested: {requested}");
        let there = stage.last.map_or(requested, |last| last == Step::Give);
        let conn = &stage.admission.conn;
        assert!(stage.work.is_none(), "{context}");
        assert_eq!(conn.membership(&stage.room).is_some(), there, "{context}");
        assert_eq!(rooms.has_members(&stage.room), there, "{context}");
        assert_eq!(rooms.list_rooms(None, 10).len(), usize::from(there), "{context}");
        assert_eq!(conn.room_count(), usize::from(there), "{context}");
        assert_eq!(*driver.members.lock().unwrap(), i32::from(there), "{context}");
        assert!(!conn.outbox(|outbox| outbox.is_holding()), "{context}");
        let last = stage.publish().await;
        let told = stage.told();
        let is_told = |id: &str| told.iter().any(|frame| frame["event"]["id"] == id);
        assert_eq!(is_told(&last), there, "{context}");
        for id in &stage.taken {
            assert!(!is_told(id), "{context}: {id} of {told:?}");
        }
        let word = told.iter().rev().find_map(|frame| match frame["type"].as_str()? {
            "subscribed" => Some(true),
            "unsubscribed" => Some(false),
            _ => None,
        });
        assert_eq!(word.unwrap_or(false), there, "{context}: {told:?}");
        drop(stage);
        assert_eq!(*driver.members.lock().unwrap(), 0, "{context}");
        assert!(rooms.list_rooms(None, 10).is_empty(), "{context}");
    }
}

/// A client asks what it has missed, and the room is taken from it meanwhile: nothing that is published from there on is
/// in the answer, whatever comes first.
#[tokio::test(start_paused = true)]
async fn a_recovery_has_nothing_of_what_came_after_a_take() {
    const STEPS: [Step; 4] = [Step::Take, Step::Leave, Step::Answer, Step::Work];
    let driver = driver();
    let rooms = Rooms::new(RoomsConfig::default(), Anybody, Backplane::new(driver.clone()));
    let mut taken = 0;
    for number in 0..2 * STEPS.len().pow(5) {
        let is_there = number % 2 == 0;
        let mut stage = stage(&rooms, &driver, &format!("r:{number}")).await;
        stage.ask().await;
        let since: Position = serde_json::from_value(stage.told().remove(0)).unwrap();
        if !is_there {
            stage.request(Request::Unsubscribe { room: stage.room.to_string() }).await;
        }
        stage.publish().await;
        let (node, conn) = (Arc::clone(&stage.admission.node), Arc::clone(&stage.admission.conn));
        let request = Request::Subscribe { room: stage.room.to_string(), since: Some(since) };
        stage.work = Some(Box::pin(requests::answer(node, conn, Id::default(), request)));
        // It sits from here on.
        stage.play(Step::Work).await;
        let order: Vec<Step> =
            (0..5).map(|at| STEPS[number / 2 / STEPS.len().pow(at) % STEPS.len()]).collect();
        for step in
            order.iter().chain([Step::Answer, Step::Work, Step::Answer, Step::Work, Step::Leave].iter())
        {
            stage.play(*step).await;
        }
        assert!(stage.work.is_none(), "{order:?}");
        let told = format!("{:?}", stage.told());
        for id in &stage.taken {
            assert!(!told.contains(&format!("\"{id}\"")), "{order:?}, there: {is_there}: {id} of {told}");
        }
        taken += usize::from(!stage.taken.is_empty());
        let is_told = told.contains("unsubscribed");
        assert_eq!(
            stage.admission.conn.membership(&stage.room).is_some(),
            stage.taken.is_empty(),
            "{order:?}"
        );
        assert!(is_told || stage.taken.is_empty(), "{order:?}: {told}");
        assert!(!stage.admission.conn.outbox(|outbox| outbox.is_holding()), "{order:?}");
    }
    assert!(taken > 1_000, "{taken}");
}

/// Left for another reason before the task has got round to it: whoever comes back is not meant.
#[tokio::test(start_paused = true)]
async fn a_leave_goes_with_its_seat() {
    let driver = driver();
    let rooms = Rooms::new(RoomsConfig::default(), Anybody, Backplane::new(driver.clone()));
    let mut stage = stage(&rooms, &driver, "r:1").await;
    stage.ask().await;
    stage.play(Step::Take).await;
    stage.request(Request::Unsubscribe { room: "r:1".into() }).await;
    stage.ask().await;
    stage.play(Step::Leave).await;
    assert_eq!(stage.admission.conn.membership(&stage.room), Some(Membership::Requested));
}

/// A client that asks for a room which the application has just taken has no more right to it than others.
#[tokio::test(start_paused = true)]
async fn what_is_taken_is_asked_for_anew() {
    let driver = driver();
    let rooms = Rooms::new(RoomsConfig::default(), Anybody, Backplane::new(driver.clone()));
    let mut stage = stage(&rooms, &driver, "r:1").await;
    driver.gate.add_permits(2);
    for step in [Step::Give, Step::Start, Step::Work] {
        stage.play(step).await;
    }
    assert_eq!(stage.admission.conn.membership(&stage.room), Some(Membership::Given));
    stage.told();
    stage.play(Step::Take).await;
    stage.ask().await;
    stage.play(Step::Leave).await;
    assert_eq!(stage.admission.conn.membership(&stage.room), Some(Membership::Requested));
    let told: Vec<Value> = stage.told().into_iter().map(|frame| frame["type"].clone()).collect();
    assert_eq!(told[..2], ["unsubscribed", "subscribed"]);
}
