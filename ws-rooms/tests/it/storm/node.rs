//! A node on a runtime of its own, so that it can die as a process does: all of its tasks at once, wherever they are.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval};
use tramline_ws_rooms::{Backplane, Close, Credential, Publication, Rooms, Target};

use super::{Storm, rooms_of};
use crate::support::{Gatekeeper, config, peer, room};

pub(crate) struct Node {
    /// Taken when the node dies.
    runtime: Option<Runtime>,
    rooms: Rooms,
}

impl Node {
    pub(crate) fn start(backplane: Backplane) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut config = config();
        // Nothing here is about limits: what is missed may be answered whole, however slow the machine is.
        let limits = &mut config.limits;
        (limits.recovery_events, limits.recovery_bytes) = (20_000, 16 * 1024 * 1024);
        (limits.held_bytes, limits.queued_bytes) = (16 * 1024 * 1024, 16 * 1024 * 1024);
        (limits.connections_per_user, limits.connections_per_address) = (10_000, 10_000);
        limits.messages_per_second = 1_000;
        let rooms = {
            let _inside = runtime.enter();
            Rooms::new(config, Gatekeeper::default(), backplane)
        };
        Self { runtime: Some(runtime), rooms }
    }

    /// One end of a connection; it ends when the node is dead, or lets nobody in just now.
    pub(crate) fn connect(&self, token: String) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let rooms = self.rooms.clone();
        self.runtime.as_ref().unwrap().spawn(async move {
            if let Ok(admission) = rooms.admit(Credential::Bearer(token), peer()).await {
                rooms.serve(admission, far).await;
            }
        });
        near
    }

    /// Closes a user's connections here, as an operator does.
    pub(crate) fn disconnect(&self, user: &str) {
        self.rooms.close(&Target::User(user.to_owned()), &Close::POSITION_LOST);
    }

    /// Carries every second event into its rooms, in order, until the storm's limit.
    pub(crate) fn publish(&self, storm: Arc<Storm>, stream: u64) {
        let rooms = self.rooms.clone();
        self.runtime.as_ref().unwrap().spawn(async move {
            let mut pace = interval(Duration::from_micros(6_667));
            pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for event in (stream..).step_by(2) {
                pace.tick().await;
                storm.highest.fetch_max(event, Ordering::SeqCst);
                if event >= *storm.limit.borrow() {
                    return;
                }
                let text = json!({"id": event.to_string(), "data": "x".repeat(100)}).to_string();
                let names = rooms_of(storm.seed, event);
                let names: Vec<_> = names.iter().map(|name| room(name)).collect();
                loop {
                    let publication = Publication::new(event.to_string(), names.clone(), &text).unwrap();
                    if rooms.publish(publication).await.is_ok() {
                        break;
                    }
                }
            }
        });
    }
}

/// Death: nothing of the node says goodbye, and the handle goes after the tasks.
impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
