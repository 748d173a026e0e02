//! A thousand broken connections over three nodes, one of which dies: nothing lost, nothing doubled, all in order.
//!
//! Every node carries the same events into the rooms, as bridges do. Clients lose their connections again and again, and
//! recover each room from their place on whatever node they find. Histories are sized for it, so that no `gap` and no
//! refused recovery is allowed. A failure prints its seed: `STORM_SEED=… cargo test storm` throws the same dice.

#![allow(clippy::print_stdout, reason = "the seed of a failure must be seen")]

mod client;
mod ledger;
mod node;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tramline_ws_rooms::backplane::RedisConfig;
use tramline_ws_rooms::{Backplane, HistoryConfig};

use self::ledger::Ledger;
use self::node::Node;

const NODES: usize = 3;
const CLIENTS: usize = 60;
const CUTS: usize = 1_000;
const PAYMENTS: u64 = 40;

/// What all tasks of a storm share.
pub(crate) struct Storm {
    pub(crate) seed: u64,
    pub(crate) nodes: Mutex<Vec<Node>>,
    pub(crate) ledger: Ledger,
    /// Connections broken so far.
    pub(crate) cuts: AtomicUsize,
    /// The newest event that any node has begun.
    highest: AtomicU64,
    /// Events from here on are not published; `u64::MAX` while the storm lasts.
    pub(crate) limit: watch::Sender<u64>,
}

/// The rooms of an event, the same for all nodes.
pub(crate) fn rooms_of(seed: u64, event: u64) -> Vec<String> {
    let mut dice = StdRng::seed_from_u64(seed ^ event.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut rooms = vec![format!("payment:{}", dice.random_range(0..PAYMENTS))];
    if dice.random_bool(0.5) {
        rooms.insert(0, format!("user:u{}", dice.random_range(0..CLIENTS)));
    }
    if dice.random_bool(0.3) {
        rooms.push(format!("role:r{}", dice.random_range(0..3)));
    }
    if dice.random_bool(0.2) {
        rooms.push("broadcast".to_owned());
    }
    rooms
}

/// A history that holds all of a storm.
fn history() -> HistoryConfig {
    let mut history = HistoryConfig::default();
    (history.count, history.bytes) = (20_000, 16 * 1024 * 1024);
    history
}

async fn storm(make: impl Fn() -> Backplane) {
    let seed = std::env::var("STORM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("STORM_SEED={seed}");
    let nodes = (0..NODES).map(|_| Node::start(make())).collect();
    let storm = Arc::new(Storm {
        seed,
        nodes: Mutex::new(nodes),
        ledger: Ledger::default(),
        cuts: AtomicUsize::new(0),
        highest: AtomicU64::new(0),
        limit: watch::Sender::new(u64::MAX),
    });
    let mut clients = JoinSet::new();
    let mut ready = Vec::new();
    for number in 0..CLIENTS {
        let (told, is) = tokio::sync::oneshot::channel();
        ready.push(is);
        clients.spawn(client::run(Arc::clone(&storm), number, told));
    }
    for is in ready {
        is.await.expect("every client gets in");
    }
    for node in storm.nodes.lock().await.iter() {
        for stream in 0..2 {
            node.publish(Arc::clone(&storm), stream);
        }
    }
    let mut dice = StdRng::seed_from_u64(seed);
    let dies = dice.random_range(CUTS / 4..CUTS * 3 / 4);
    until(|| storm.cuts.load(Ordering::SeqCst) >= dies, &mut clients).await;
    let dead = storm.nodes.lock().await.swap_remove(dice.random_range(0..NODES));
    drop(dead);
    until(|| storm.cuts.load(Ordering::SeqCst) >= CUTS, &mut clients).await;
    let limit = storm.highest.load(Ordering::SeqCst) + 1;
    storm.limit.send_replace(limit);
    while let Some(client) = clients.join_next().await {
        client.expect("a client that found everything");
    }
    let cuts = storm.cuts.load(Ordering::SeqCst);
    println!("{limit} events, {cuts} broken connections, {} places", storm.ledger.places());
    assert!(cuts >= CUTS && limit > 100);
}

/// Waits, unless a client fails before.
async fn until(reached: impl Fn() -> bool, clients: &mut JoinSet<()>) {
    let waited = async {
        while !reached() {
            tokio::select! {
                Some(client) = clients.join_next() => client.expect("a client that goes on"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited).await.expect("reached in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_memory() {
    let backplane = Backplane::memory_with(history());
    storm(|| backplane.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_redis() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut settings: RedisConfig = crate::backplane::settings(url);
    settings.history = history();
    storm(|| Backplane::redis(settings.clone()).unwrap()).await;
}
