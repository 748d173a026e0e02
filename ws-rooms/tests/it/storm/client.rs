//! A client that loses its connection again and again, and accounts for every number of its rooms.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tramline_ws_rooms::client::Client;

use super::{CUTS, PAYMENTS, Storm, rooms_of};

struct Account {
    storm: Arc<Storm>,
    number: usize,
    dice: StdRng,
    /// The rooms, with where the client stands in each.
    rooms: HashMap<String, Option<(String, u64)>>,
    /// Rooms whose recovery is out: its answer covers whatever comes before it.
    recovering: HashSet<String>,
    /// Events that came as such, in whichever room.
    events: HashSet<u64>,
    /// Events known in each room, as event or as position.
    known: HashSet<(String, u64)>,
    /// Connections that were given up without a word; their servers believe them alive.
    silent: Vec<Client<DuplexStream>>,
}

/// How a connection ends.
enum Cut {
    Dropped,
    Silence,
    Closed,
    ByTheServer,
}

pub(crate) async fn run(storm: Arc<Storm>, number: usize, ready: oneshot::Sender<()>) {
    let mut dice = StdRng::seed_from_u64(storm.seed.wrapping_add(number as u64 + 1));
    let mut rooms: HashMap<_, _> = own_rooms(number).into_iter().map(|room| (room, None)).collect();
    while rooms.len() < 7 {
        rooms.insert(format!("payment:{}", dice.random_range(0..PAYMENTS)), None);
    }
    let mut account = Account {
        storm,
        number,
        dice,
        rooms,
        recovering: HashSet::new(),
        events: HashSet::new(),
        known: HashSet::new(),
        silent: Vec::new(),
    };
    let mut ready = Some(ready);
    let whole = async { while !account.connection(&mut ready).await {} };
    tokio::time::timeout(Duration::from_secs(90), whole).await.expect("everything came");
}

fn own_rooms(number: usize) -> [String; 3] {
    [format!("user:u{number}"), format!("role:r{}", number % 3), "broadcast".to_owned()]
}

impl Account {
    /// One connection; says whether everything has come.
    async fn connection(&mut self, ready: &mut Option<oneshot::Sender<()>>) -> bool {
        let token = format!("u{0}/r{1}/s{0}", self.number, self.number % 3);
        let io = {
            let nodes = self.storm.nodes.lock().await;
            nodes[self.dice.random_range(0..nodes.len())].connect(token)
        };
        let mut client = Client::over(io).await;
        let Ok(Some(text)) = client.next_text().await else { return false };
        let welcome: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        self.recovering.clear();
        for (name, place) in &mut self.rooms {
            let given = welcome["rooms"].as_array().unwrap().iter().find(|room| room["room"] == **name);
            let request = match (&place, given) {
                (Some((epoch, offset)), _) => {
                    json!({"type": "subscribe", "id": name, "room": name, "since": {"epoch": epoch, "offset": offset}})
                }
                (None, None) => json!({"type": "subscribe", "id": name, "room": name}),
                (None, Some(given)) => {
                    *place = Some((
                        given["epoch"].as_str().unwrap().to_owned(),
                        given["offset"].as_u64().unwrap(),
                    ));
                    continue;
                }
            };
            self.recovering.insert(name.clone());
            if client.send_text(request.to_string()).await.is_err() {
                return false;
            }
        }
        let mut limit = self.storm.limit.subscribe();
        let mut left: u32 = self.dice.random_range(1..24);
        loop {
            if self.recovering.is_empty()
                && let Some(ready) = ready.take()
            {
                ready.send(()).unwrap();
            }
            let end = *limit.borrow_and_update();
            let storming = end == u64::MAX && self.storm.cuts.load(Ordering::SeqCst) < CUTS;
            if storming && left == 0 {
                self.storm.cuts.fetch_add(1, Ordering::SeqCst);
                self.cut(client).await;
                return false;
            }
            if end != u64::MAX && self.recovering.is_empty() && self.has_everything(end) {
                return true;
            }
            tokio::select! {
                text = client.next_text() => {
                    let Ok(Some(text)) = text else {
                        // The node has died, or has closed us.
                        self.storm.cuts.fetch_add(1, Ordering::SeqCst);
                        return false;
                    };
                    self.take(&serde_json::from_str(&text).unwrap());
                    left = left.saturating_sub(1);
                }
                _ = limit.changed() => {}
            }
        }
    }

    async fn cut(&mut self, mut client: Client<DuplexStream>) {
        let how = match self.dice.random_range(0..10) {
            0..6 => Cut::Dropped,
            6..8 => Cut::Silence,
            8 => Cut::Closed,
            _ => Cut::ByTheServer,
        };
        match how {
            Cut::Dropped => drop(client),
            Cut::Silence => self.silent.push(client),
            Cut::Closed => drop(client.close().await),
            Cut::ByTheServer => {
                for node in self.storm.nodes.lock().await.iter() {
                    node.disconnect(&format!("u{}", self.number));
                }
                while let Ok(Some(text)) = client.next_text().await {
                    self.take(&serde_json::from_str(&text).unwrap());
                }
            }
        }
    }

    fn take(&mut self, frame: &Value) {
        let name = frame["room"].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str().unwrap() {
            "event" if !self.recovering.contains(&name) => {
                let event = id(&frame["event"]["id"]);
                self.events.insert(event);
                self.step(&name, frame["offset"].as_u64().unwrap(), event);
            }
            "position" if !self.recovering.contains(&name) => {
                let event = id(&frame["id"]);
                assert!(self.events.contains(&event), "told as known, and never came: {frame}");
                self.step(&name, frame["offset"].as_u64().unwrap(), event);
            }
            "event" => {
                // The answer has it too, but as far as other rooms know it came here.
                self.events.insert(id(&frame["event"]["id"]));
            }
            "subscribed" => self.recovered(&name, frame),
            "position" | "ping" | "goodbye" | "joined" | "left" => {}
            other => panic!("{other} is not allowed here: {frame}"),
        }
    }

    fn recovered(&mut self, name: &str, frame: &Value) {
        assert!(self.recovering.remove(name));
        let (epoch, offset) = (frame["epoch"].as_str().unwrap(), frame["offset"].as_u64().unwrap());
        let Some((known, _)) = &self.rooms[name] else {
            self.rooms.insert(name.to_owned(), Some((epoch.to_owned(), offset)));
            return;
        };
        assert_eq!((frame["recovered"].as_bool(), known.as_str()), (Some(true), epoch), "{frame}");
        for missed in frame["events"].as_array().unwrap() {
            let event = id(&missed["event"]["id"]);
            self.events.insert(event);
            self.step(name, missed["offset"].as_u64().unwrap(), event);
        }
        assert_eq!(self.rooms[name].as_ref().unwrap().1, offset, "the answer is not whole");
    }

    /// The next number of a room, and no other.
    fn step(&mut self, name: &str, offset: u64, event: u64) {
        let (_, at) = self.rooms.get_mut(name).unwrap().as_mut().expect("a place was told before");
        assert_eq!(offset, *at + 1, "client {}, {name}: a hole, or the same again", self.number);
        *at = offset;
        self.storm.ledger.note(name, offset, event);
        assert!(self.known.insert((name.to_owned(), event)), "event {event} twice in {name}");
    }

    /// Every event of each room, since every client was there before the first.
    fn has_everything(&self, end: u64) -> bool {
        (0..end).rev().all(|event| {
            let rooms = rooms_of(self.storm.seed, event);
            let mut mine = rooms.into_iter().filter(|name| self.rooms.contains_key(name));
            mine.all(|name| self.events.contains(&event) && self.known.contains(&(name, event)))
        })
    }
}

fn id(text: &Value) -> u64 {
    text.as_str().unwrap().parse().unwrap()
}
