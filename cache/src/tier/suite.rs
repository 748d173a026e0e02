//! What every shared tier does, on the twin and on a real Redis.

mod feed;
mod leases;
mod marks;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

#[cfg(feature = "redis")]
use crate::config::RedisConfig;
use crate::envelope::{Envelope, Marks, Token};
use crate::mark::{Mark, MarkName};
use crate::tier::{Ending, Found, Heard, Slot, Tier};

/// Two nodes on one tier of the test's own.
pub(super) struct Nodes {
    pub(super) a: Arc<Tier>,
    pub(super) b: Arc<Tier>,
}

/// What a node hears.
pub(super) struct Ear {
    heard: mpsc::Receiver<Heard>,
    _task: AbortOnDropHandle<()>,
}

/// Longer than any test runs.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// Runs each of these on both.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod twin {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(crate::tier::suite::on_twin()).await;
            })*
        }

        #[cfg(feature = "redis")]
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(nodes) = crate::tier::suite::on_redis().await else { return };
                super::$name(nodes).await;
            })*
        }

        #[cfg(feature = "redis-cluster")]
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(nodes) = crate::tier::suite::on_cluster().await else { return };
                super::$name(nodes).await;
            })*
        }
    };
}
pub(super) use suite;

pub(super) fn on_twin() -> Nodes {
    let twin = crate::tier::twin::Twin::new();
    let node = || Arc::new(Tier::Twin(Arc::new(twin.node())));
    Nodes { a: node(), b: node() }
}

#[cfg(feature = "redis")]
pub(super) async fn on_redis() -> Option<Nodes> {
    Some(by(RedisConfig::new(devkit::engines::redis().await?)))
}

#[cfg(feature = "redis-cluster")]
pub(super) async fn on_cluster() -> Option<Nodes> {
    Some(by(RedisConfig::cluster(devkit::engines::redis_cluster().await?)))
}

#[cfg(feature = "redis")]
fn by(config: RedisConfig) -> Nodes {
    let config = crate::tier::redis::tests::named(config);
    let node = || Arc::new(Tier::Redis(crate::tier::redis::tests::node(&config)));
    Nodes { a: node(), b: node() }
}

// === impl Ear ===

impl Ear {
    /// Returns when the feed is heard, with the number at which it begins.
    pub(super) async fn on(tier: &Arc<Tier>) -> (Self, Mark) {
        let mut ear = Self::listen(tier);
        let Heard::Attached(newest) = ear.next().await else { panic!("attached first") };
        (ear, newest)
    }

    pub(super) fn listen(tier: &Arc<Tier>) -> Self {
        let (hear, heard) = mpsc::channel(100_000);
        let tier = tier.clone();
        let task = tokio::spawn(async move {
            let hear = |what| match what {
                // Of the store's trust; it says nothing of the tier.
                Heard::Whole(_) => {}
                what => hear.try_send(what).expect("a test hears all"),
            };
            tier.listen(hear, || 0, std::future::pending()).await;
        });
        Self { heard, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) async fn next(&mut self) -> Heard {
        timeout(Duration::from_secs(60), self.heard.recv()).await.expect("heard in time").expect("listens")
    }

    pub(super) async fn ended(&mut self) -> (Ending, Mark) {
        match self.next().await {
            Heard::Ended { ending, mark, .. } => (ending, mark),
            other => panic!("{other:?}"),
        }
    }

    /// Whatever else is heard first does not matter.
    pub(super) async fn until(&mut self, what: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.next().await;
            if what(&heard) {
                return heard;
            }
        }
    }

    pub(super) async fn attached(&mut self) -> Mark {
        match self.until(|heard| matches!(heard, Heard::Attached(_))).await {
            Heard::Attached(mark) => mark,
            other => panic!("{other:?}"),
        }
    }
}

/// A name of the call's own.
pub(super) fn slot() -> Slot {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Slot { space: "users.1".into(), key: format!(":{}", NEXT.fetch_add(1, Ordering::Relaxed)).into() }
}

pub(super) fn name(text: &str) -> MarkName {
    MarkName::from_wire(&format!("t:{text}"))
}

/// An encoded value, and its id.
pub(super) fn value(payload: &str) -> (Token, Vec<u8>) {
    let id = Token::draw();
    let (marks, mut written) = ([(name("x"), Mark { incarnation: 1, number: 2 })], Vec::new());
    let envelope = Envelope {
        id,
        born: 1,
        fresh: 60_000,
        stale: 0,
        load: 3,
        codec: 1,
        negative: false,
        own: false,
        compressed: false,
        marks: Marks::write(&marks, &mut written),
        payload: payload.as_bytes(),
    };
    (id, envelope.encode())
}

/// Puts a value there, and returns its id and bytes.
pub(super) async fn filled(tier: &Tier, slot: &Slot, payload: &str) -> (Token, Vec<u8>) {
    let (id, bytes) = value(payload);
    assert!(tier.put(slot, bytes.clone(), LONG).await);
    (id, bytes)
}

pub(super) async fn payload(tier: &Tier, slot: &Slot) -> Option<String> {
    payload_of(tier.read(slot).await)
}

pub(super) fn payload_of(found: Found) -> Option<String> {
    let Found::Slot(bytes) = found else { return None };
    match crate::envelope::Held::decode(&bytes) {
        crate::envelope::Held::Value(value) => Some(String::from_utf8(value.payload.to_vec()).unwrap()),
        _ => None,
    }
}

pub(super) async fn bytes(tier: &Tier, slot: &Slot) -> Option<Bytes> {
    match tier.read(slot).await {
        Found::Slot(bytes) => Some(bytes),
        _ => None,
    }
}

/// Looks until it is so.
pub(super) async fn until(reached: impl AsyncFn() -> bool) {
    let looking = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), looking).await.expect("reached in time");
}
