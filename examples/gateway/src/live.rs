//! The room `system:live`: one sample a second of what this process knows. What it does not know is absent.

mod window;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tramline_event_hub::health::QueueStats;
use tramline_event_hub::{Event, Hub};
use tramline_observability::metrics::MetricsHandle;
use tramline_ws_rooms::{Publication, RoomId, Rooms};

use self::window::{Cumulative, Latency, Questions};

/// The room's name.
pub(crate) const ROOM: &str = "system:live";

/// The event's type: it goes to this room alone and never through the hub.
const TYPE: &str = "system.live.sampled";

/// One a second, by the contract.
const EVERY: Duration = Duration::from_secs(1);

/// Latencies are of the last minute: long enough to have some, short enough to be news.
const WINDOW: usize = 60;

/// Takes samples while someone looks.
pub(crate) struct Sampler {
    rooms: Rooms,
    hub: Hub,
    metrics: Option<MetricsHandle>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sample {
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Rate>,
    hops: Vec<Hop>,
    /// The hub tells of its queues in memory; a broker's are known to the broker.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queues: Vec<Queue>,
    /// All caches of this process, since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Questions>,
    /// Each by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    caches: BTreeMap<String, Questions>,
    sockets: Open,
}

#[derive(Serialize)]
struct Rate {
    /// A second, over the last one.
    rate: f64,
    total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hop {
    name: &'static str,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<f64>,
}

#[derive(Serialize)]
struct Queue {
    name: String,
    messages: u64,
    consumers: u64,
}

#[derive(Serialize)]
struct Open {
    connections: usize,
    rooms: usize,
    delivered: u64,
    dropped: u64,
}

impl Sampler {
    pub(crate) fn new(rooms: Rooms, hub: Hub, metrics: Option<MetricsHandle>) -> Self {
        Self { rooms, hub, metrics }
    }

    /// Samples until dropped.
    pub(crate) async fn run(self) {
        let Ok(room) = RoomId::parse(ROOM) else { return };
        let mut past: VecDeque<Cumulative> = VecDeque::with_capacity(WINDOW + 1);
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            if !self.rooms.has_members(&room) {
                past.clear();
                continue;
            }
            let now = self.metrics.as_ref().map(|metrics| Cumulative::read(&metrics.snapshot()));
            let sample = self.sample(now.as_ref(), &past);
            if let Some(now) = now {
                past.push_back(now);
                if past.len() > WINDOW {
                    past.pop_front();
                }
            }
            if let Err(error) = self.publish(&room, &sample) {
                tracing::warn!(%error, "a live sample was not published");
            }
        }
    }

    fn sample(&self, now: Option<&Cumulative>, past: &VecDeque<Cumulative>) -> Sample {
        let rooms = self.rooms.stats();
        let mut sample = Sample {
            http: None,
            events: None,
            hops: Vec::new(),
            queues: self.hub.queues().into_iter().map(Queue::from).collect(),
            cache: None,
            caches: BTreeMap::new(),
            sockets: Open {
                connections: rooms.connections,
                rooms: rooms.rooms,
                delivered: rooms.delivered,
                dropped: rooms.dropped,
            },
        };
        let Some(now) = now else { return sample };
        let rate = |of: fn(&Cumulative) -> &Latency| {
            let total = of(now).count;
            let before = past.back().map_or(total, |past| of(past).count);
            Rate { rate: total.saturating_sub(before) as f64 / EVERY.as_secs_f64(), total }
        };
        let hop = |name, of: fn(&Cumulative) -> &Latency| {
            let recent = past.front().map_or_else(|| of(now).clone(), |first| of(now).since(of(first)));
            let ms = |quantile| recent.quantile(quantile).map(|seconds| seconds * 1_000.0);
            Hop { name, count: of(now).count, p50_ms: ms(0.5), p99_ms: ms(0.99) }
        };
        sample.http = Some(rate(|c| &c.gateway));
        sample.events = Some(rate(|c| &c.hub));
        sample.hops = vec![
            hop("gateway", |c| &c.gateway),
            hop("service", |c| &c.service),
            hop("hub", |c| &c.hub),
            hop("rooms", |c| &c.rooms),
        ];
        sample.cache = Some(now.caches.values().sum());
        sample.caches.clone_from(&now.caches);
        sample
    }

    fn publish(
        &self,
        room: &RoomId,
        sample: &Sample,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let event = Event::new(TYPE, "/gateway", sample)?;
        let publication = Publication::new(event.id.as_str(), vec![room.clone()], event.to_json())?;
        self.rooms.publish_local(publication)?;
        Ok(())
    }
}

impl From<QueueStats> for Queue {
    fn from(stats: QueueStats) -> Self {
        Self { name: stats.name, messages: stats.messages + stats.unacknowledged, consumers: stats.consumers }
    }
}
