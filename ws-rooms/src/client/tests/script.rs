//! Plays the scripts of `protocol/vectors/{positions,offline}.json` (`protocol/README.md` says what the steps mean).

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::world::{Peer, World, advance, heard, settle};
use crate::client::{Rejected, Subscription};
use crate::error::ErrorKind;

/// How questions ended.
type Ends = Arc<Mutex<BTreeMap<String, String>>>;

struct Stage {
    world: World,
    peer: Option<Peer>,
    wanted: Vec<(Option<String>, Subscription)>,
    /// What was heard of those that are gone.
    heard: Vec<(Option<String>, Value)>,
    bound: HashMap<String, Value>,
    ends: Ends,
}

pub(super) async fn play(script: &Value) {
    let world = World::new();
    let peer = Some(world.peer().await);
    let (wanted, heard) = (Vec::new(), Vec::new());
    let mut stage = Stage { world, peer, wanted, heard, bound: HashMap::new(), ends: Ends::default() };
    for step in script["steps"].as_array().unwrap() {
        println!("{step}");
        let step = step.as_object().unwrap();
        let (kind, value) = step
            .iter()
            .find(|(kind, _)| !["room", "timeoutMs"].contains(&kind.as_str()))
            .expect("a step has a kind");
        stage.step(kind, value, step).await;
        settle().await;
    }
    if let Some(peer) = &mut stage.peer {
        assert_eq!(peer.inbox().await, None, "sent at the end");
    }
    stage.hears(&[]).await;
}

// === impl Stage ===

impl Stage {
    async fn step(&mut self, kind: &str, value: &Value, step: &Map<String, Value>) {
        match kind {
            "want" => {
                let room = value.as_str().unwrap();
                self.wanted.push((Some(room.to_owned()), self.world.session.subscribe(room).unwrap()));
            }
            "wantAny" => self.wanted.push((None, self.world.session.subscribe_all())),
            "leave" => {
                let at = self.wanted.iter().position(|(room, _)| room.as_deref() == value.as_str()).unwrap();
                let (room, mut subscription) = self.wanted.remove(at);
                let last = heard(&mut subscription).await;
                self.heard.extend(last.into_iter().map(|update| (room.clone(), update)));
            }
            "welcome" => self.peer().welcome(value.clone()).await,
            "receive" => {
                let frame = fill(value, &self.bound);
                self.peer().send(frame).await;
            }
            "sends" if value.is_null() => assert_eq!(self.peer().inbox().await, None),
            "sends" => {
                let found = self.peer().next().await;
                bind(value, &found, &mut self.bound);
                assert_eq!(found, fill(value, &self.bound));
            }
            "hears" => self.hears(value.as_array().unwrap()).await,
            "place" => {
                let place = self.world.session.place(value["room"].as_str().unwrap()).unwrap();
                assert_eq!(json!(&*place.epoch), value["epoch"]);
                assert_eq!(json!(place.offset), value["offset"]);
            }
            "lost" => self.lost(u16::try_from(value.as_u64().unwrap()).unwrap()).await,
            "advanceMs" => advance(Duration::from_millis(value.as_u64().unwrap())).await,
            "ask" => {
                let timeout = step.get("timeoutMs").map_or(30_000, |timeout| timeout.as_u64().unwrap());
                self.ask(value.as_str().unwrap(), step["room"].as_str().unwrap(), timeout);
            }
            "askMany" => {
                for n in 0..value.as_u64().unwrap() {
                    self.ask(&format!("many {n}"), &format!("many:{n}"), 30_000);
                    settle().await;
                }
            }
            "ends" => {
                let ends = std::mem::take(&mut *self.ends.lock().unwrap());
                assert_eq!(json!(ends), *value);
            }
            _ => panic!("no such step: {kind}"),
        }
    }

    fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("a connection")
    }

    async fn lost(&mut self, code: u16) {
        assert_eq!(self.peer().inbox().await, None);
        self.peer.take().unwrap().end(code).await;
        if !self.world.session.state().is_stopped() {
            self.peer = Some(self.world.back().await);
        }
    }

    fn ask(&self, name: &str, room: &str, timeout: u64) {
        let (session, ends) = (self.world.session.clone(), self.ends.clone());
        let (name, room) = (name.to_owned(), room.to_owned());
        tokio::spawn(async move {
            let end = match session.presence_within(&room, Duration::from_millis(timeout)).await {
                Ok(_) => "answered".to_owned(),
                Err(error) => match error.kind() {
                    ErrorKind::Timeout => "TIMEOUT".to_owned(),
                    ErrorKind::QueueFull => "QUEUE_FULL".to_owned(),
                    ErrorKind::Closed => "CLOSED".to_owned(),
                    _ => error.source().unwrap().downcast_ref::<Rejected>().unwrap().code.clone(),
                },
            };
            ends.lock().unwrap().insert(name, end);
        });
    }

    /// Each subscription has its own order; between them there is none to be seen.
    async fn hears(&mut self, expected: &[Value]) {
        let mut found: BTreeMap<Option<String>, Vec<Value>> = BTreeMap::new();
        for (room, update) in self.heard.drain(..) {
            found.entry(room).or_default().push(update);
        }
        for (room, subscription) in &mut self.wanted {
            found.entry(room.clone()).or_default().extend(heard(subscription).await);
        }
        found.retain(|_, updates| !updates.is_empty());
        let mut wanted: BTreeMap<Option<String>, Vec<Value>> = BTreeMap::new();
        for update in expected {
            let mut update = update.clone();
            let any = update.as_object_mut().unwrap().remove("any").is_some();
            let room = (!any).then(|| update["room"].as_str().unwrap().to_owned());
            wanted.entry(room).or_default().push(update);
        }
        assert_eq!(found, wanted);
    }
}

/// Puts what is bound in the place of its name.
fn fill(value: &Value, bound: &HashMap<String, Value>) -> Value {
    match value {
        Value::String(name) if name.starts_with('$') => bound[name].clone(),
        Value::Array(items) => items.iter().map(|item| fill(item, bound)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), fill(value, bound))).collect()
        }
        other => other.clone(),
    }
}

/// Binds names where they come first.
fn bind(expected: &Value, found: &Value, bound: &mut HashMap<String, Value>) {
    for (key, value) in expected.as_object().unwrap() {
        if let Some(name) = value.as_str().filter(|name| name.starts_with('$')) {
            bound.entry(name.to_owned()).or_insert_with(|| found[key].clone());
        }
    }
}
