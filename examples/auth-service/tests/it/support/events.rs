//! What the service tells the hub, as any other process would hear it.

use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use tokio::sync::Notify;
use tramline_event_hub::feed::Feed;
use tramline_event_hub::{ConsumerConfig, Context, Event, Hub, Outcome};
use tramline_observability::telemetry::Guard;
use tramline_observability::{Telemetry, TelemetryConfig};

use super::LONG;

/// All events of a hub since it was opened.
#[derive(Clone)]
pub(crate) struct Events {
    heard: Arc<Mutex<Vec<Event>>>,
    more: Arc<Notify>,
    hub: Hub,
}

/// Spans for real, so that events carry traces; no log.
pub(crate) fn traced() {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    GUARD.get_or_init(|| {
        let mut config = TelemetryConfig::new("auth-test");
        config.filter = "off".to_owned();
        Telemetry::init(&config).unwrap()
    });
}

// === impl Events ===

impl Events {
    /// Listens; returns when nothing can be missed any more.
    pub(crate) async fn of(hub: &Hub) -> Self {
        let (heard, more) = (Arc::<Mutex<Vec<Event>>>::default(), Arc::new(Notify::new()));
        let events = Self { heard: Arc::clone(&heard), more: Arc::clone(&more), hub: hub.clone() };
        hub.declare(&contracts::topology()).await.unwrap();
        let placed = Arc::new(Notify::new());
        let (listening, place) = (hub.clone(), Arc::clone(&placed));
        tokio::spawn(async move {
            let handle = move |event: Event, _: Context| {
                heard.lock().unwrap().push(event);
                more.notify_waiters();
                std::future::ready(Outcome::Ack)
            };
            let told = move |_| place.notify_one();
            let (feed, config) = (Feed::new("test.events", ["#"]), ConsumerConfig::default());
            listening.consume_feed(feed, config, handle, told, std::future::pending()).await
        });
        placed.notified().await;
        events
    }

    /// Publishes an event as another process would.
    pub(crate) async fn publish(&self, event: &Event) {
        self.hub.publish(event).await.unwrap();
    }

    /// The first event of this type whose data `is` so.
    pub(crate) async fn wait(&self, event_type: &str, is: impl Fn(&Value) -> bool) -> Event {
        let waiting = async {
            loop {
                let more = self.more.notified();
                let mut more = std::pin::pin!(more);
                // Registered before the look, so that nothing comes between.
                more.as_mut().enable();
                if let Some(found) = self.all(event_type).into_iter().find(|event| is(&data(event))) {
                    return found;
                }
                more.await;
            }
        };
        let waited = tokio::time::timeout(LONG, waiting).await;
        waited.unwrap_or_else(|_| panic!("no {event_type} among {:?}", self.types()))
    }

    /// Those of a type so far.
    pub(crate) fn all(&self, event_type: &str) -> Vec<Event> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|event| event.event_type == event_type).cloned().collect()
    }

    fn types(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|event| event.event_type.clone()).collect()
    }
}

/// An event's data.
pub(crate) fn data(event: &Event) -> Value {
    event.data().unwrap()
}
