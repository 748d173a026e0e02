//! The session on a node in the same process.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::world::{brief, good, heard, settle};
use crate::auth::{Access, Authority, Credential, Identity, PeerInfo};
use crate::client::connection::Client;
use crate::client::dial::Dial;
use crate::client::{Session, SessionConfig, State};
use crate::error::{Error, ErrorKind};
use crate::protocol::RoomId;
use crate::{Backplane, Publication, Refusal, Rooms, RoomsConfig};

struct Anyone;

impl Authority for Anyone {
    async fn authenticate(&self, _: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        let mut identity = Identity::new("ada", "s1", Timestamp::now() + Duration::from_secs(900));
        identity.rooms = vec![RoomId::parse("broadcast").unwrap()];
        Ok(identity)
    }

    async fn may_join(&self, _: &Identity, _: &RoomId) -> Access {
        Access::Allowed
    }
}

/// Connects to the node in this process.
struct Node {
    rooms: Rooms,
    /// Aborted, they end without a word.
    serving: Arc<Mutex<JoinSet<u16>>>,
}

impl Dial for Node {
    type Io = DuplexStream;

    async fn dial(&mut self, credential: &Credential) -> Result<Client<DuplexStream>, Error> {
        let peer = PeerInfo::new(IpAddr::from([192, 0, 2, 1]));
        let admitted = self.rooms.admit(credential.clone(), peer).await;
        let admission = admitted.map_err(|_| Error::new(ErrorKind::Connect))?;
        let (near, far) = tokio::io::duplex(64 * 1024);
        let rooms = self.rooms.clone();
        self.serving.lock().unwrap().spawn(async move { rooms.serve(admission, far).await });
        Ok(Client::over(near).await)
    }
}

/// Waits until it is open, for two minutes of the test's time: who is cut for asking too fast never gets there.
async fn open(session: &Session) {
    let mut states = session.states();
    let opening = async {
        while let Some(state) = states.next().await {
            if matches!(state, State::Open { .. }) {
                return;
            }
            assert!(!state.is_stopped(), "{state:?}");
        }
    };
    timeout(Duration::from_secs(120), opening).await.expect("it does not open");
}

/// A hundred rooms come back below the twenty messages a second that the server cuts at, each with what it missed.
#[tokio::test(start_paused = true)]
async fn a_hundred_rooms_are_recovered_below_the_servers_rate() {
    let rooms = Rooms::new(RoomsConfig::default(), Anyone, Backplane::memory());
    let node = Node { rooms: rooms.clone(), serving: Arc::default() };
    let session = Session::over(SessionConfig::new("ws://test/ws"), node, good, || 0.5);
    // One place of a hundred is the broadcast's.
    let names: Vec<_> = (0..99).map(|n| format!("payment:{n}")).collect();
    let mut subscriptions: Vec<_> = names.iter().map(|name| session.subscribe(name).unwrap()).collect();
    open(&session).await;
    for subscription in &mut subscriptions {
        assert_eq!(heard(subscription).await.len(), 1);
    }
    let publish = async |offset: u64| {
        for name in &names {
            let id = format!("{name}#{offset}");
            let to = vec![RoomId::parse(name).unwrap()];
            let event = json!({"id": id, "type": "t"}).to_string();
            rooms.publish(Publication::new(id, to, event).unwrap()).await.unwrap();
        }
    };
    publish(1).await;
    for subscription in &mut subscriptions {
        assert_eq!(heard(subscription).await.len(), 1);
    }
    rooms.close(&crate::Target::User("ada".into()), &crate::Close::POSITION_LOST);
    while !matches!(session.state(), State::Waiting { code: 4202, .. }) {
        settle().await;
    }
    publish(2).await;
    publish(3).await;
    let start = Instant::now();
    open(&session).await;
    let took = start.elapsed();
    // 16 at once, and 16 a second.
    assert!(took >= Duration::from_secs(5) && took <= Duration::from_secs(8), "{took:?}");
    assert!(matches!(session.state(), State::Open { .. }));
    for (name, subscription) in names.iter().zip(&mut subscriptions) {
        let event = |n: u64| json!({"room": name, "event": format!("{name}#{n}"), "offset": n});
        let live = json!({"room": name, "live": 3});
        assert_eq!(heard(subscription).await, [event(2), event(3), live]);
    }
}

/// What the link does is no concern of who listens: over three hundred cuts, each event comes once, in order.
#[tokio::test(start_paused = true)]
async fn each_event_comes_once_over_three_hundred_cuts() {
    let rooms = Rooms::new(RoomsConfig::default(), Anyone, Backplane::memory());
    let serving = Arc::new(Mutex::new(JoinSet::new()));
    let node = Node { rooms: rooms.clone(), serving: serving.clone() };
    let mut draws = StdRng::seed_from_u64(7);
    let mut dice = StdRng::seed_from_u64(8);
    let session =
        Session::over(SessionConfig::new("ws://test/ws"), node, good, move || draws.random::<f64>());
    let mut broadcast = session.subscribe("broadcast").unwrap();
    let mut payment = session.subscribe("payment:1").unwrap();
    let mut all = session.subscribe_all();
    open(&session).await;
    let mut expected = Vec::new();
    let (mut here, mut there, mut anywhere) = (Vec::new(), Vec::new(), Vec::new());
    for cut in 0..300 {
        // Before, while and after the connection breaks, is opened and is recovered.
        for n in 0..dice.random_range(1..6) {
            let id = format!("e{cut}.{n}");
            let mut to = vec![RoomId::parse("broadcast").unwrap(), RoomId::parse("payment:1").unwrap()];
            if dice.random() {
                to.reverse();
            }
            let event = json!({"id": id, "type": "t"}).to_string();
            rooms.publish(Publication::new(id.clone(), to, event).unwrap()).await.unwrap();
            expected.push(id);
            if dice.random_range(0..3) == 0 {
                serving.lock().unwrap().abort_all();
            }
            for _ in 0..dice.random_range(0..60) {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(Duration::from_millis(dice.random_range(0..3_000))).await;
        }
        for (subscription, events) in
            [(&mut broadcast, &mut here), (&mut payment, &mut there), (&mut all, &mut anywhere)]
        {
            events.extend(heard(subscription).await);
        }
    }
    while anywhere.iter().filter(|update| update.get("event").is_some()).count() < expected.len() {
        let update = timeout(Duration::from_secs(60), all.next()).await.expect("an event is lost").unwrap();
        anywhere.push(brief(&update));
    }
    here.extend(heard(&mut broadcast).await);
    there.extend(heard(&mut payment).await);
    for (room, updates) in [("broadcast", &here), ("payment:1", &there)] {
        let mut events = Vec::new();
        for update in updates {
            assert!(update.get("gap").is_none(), "{update}");
            if let Some(id) = update.get("event") {
                events.push(id.as_str().unwrap());
                assert_eq!(update["offset"], events.len(), "{room}");
            }
        }
        assert_eq!(events, expected, "{room}");
    }
    let mut once: Vec<_> = anywhere.iter().filter_map(|update| update.get("event")?.as_str()).collect();
    let mut wanted: Vec<_> = expected.iter().map(String::as_str).collect();
    once.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(once, wanted);
}
