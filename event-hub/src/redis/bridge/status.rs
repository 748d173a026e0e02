//! How a bridge is, for health and for people.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::telemetry::BridgeMetrics;

/// How a bridge is. Every message that came is in one of the counts, or waits.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct BridgeStatus {
    /// Whether it is subscribed.
    pub attached: bool,
    /// How often its subscription was lost; what was published until the next is missed.
    pub gaps: u64,
    /// Messages that wait for the hub, those included whose confirm is awaited.
    pub waiting: u64,
    /// Events that the hub confirmed.
    pub published: u64,
    /// Messages that had been here before, see [no echo](crate::redis#no-echo).
    pub echoes: u64,
    /// Messages that the mapping did not want.
    pub passed_over: u64,
    /// Messages that were no event, and are lost.
    pub malformed: u64,
    /// Events that no queue wanted, and are lost.
    pub returned: u64,
    /// Messages that found the buffer full, and are lost.
    pub overflow: u64,
    /// Messages that were left when the bridge ended, and are lost.
    pub abandoned: u64,
    /// The last failure of Redis or of the hub that nothing has succeeded since.
    pub last_error: Option<String>,
}

/// Watches one bridge. It outlives the bridge and then shows its last state.
#[derive(Clone, Debug)]
pub struct BridgeMonitor {
    /// The bridge has the sender.
    status: watch::Receiver<BridgeStatus>,
}

/// Counts, for metrics and monitors.
#[derive(Clone)]
pub(super) struct Figures {
    metrics: BridgeMetrics,
    status: Arc<watch::Sender<BridgeStatus>>,
}

/// How a message ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Abandoned,
    Echo,
    Malformed,
    PassedOver,
    Published,
    Returned,
}

// === impl BridgeStatus ===

impl BridgeStatus {
    /// Whether it hears what is published.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.attached
    }
}

// === impl BridgeMonitor ===

impl BridgeMonitor {
    /// How the bridge is now.
    #[must_use]
    pub fn status(&self) -> BridgeStatus {
        self.status.borrow().clone()
    }

    /// Waits until `wanted` holds, and answers with that state; with the last one when the bridge ends before.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when dropped.
    pub async fn wait_for(&mut self, wanted: impl FnMut(&BridgeStatus) -> bool) -> BridgeStatus {
        if let Ok(status) = self.status.wait_for(wanted).await {
            return status.clone();
        }
        self.status()
    }
}

// === impl Figures ===

impl Figures {
    pub(super) fn new(name: &str) -> Self {
        Self {
            metrics: BridgeMetrics::new(name),
            status: Arc::new(watch::Sender::new(BridgeStatus::default())),
        }
    }

    pub(super) fn monitor(&self) -> BridgeMonitor {
        BridgeMonitor { status: self.status.subscribe() }
    }

    pub(super) fn attached(&self) {
        self.metrics.attached.set(1.0);
        self.status.send_modify(|status| (status.attached, status.last_error) = (true, None));
    }

    /// Whether it was attached until now.
    pub(super) fn detached(&self) -> bool {
        self.metrics.attached.set(0.0);
        let mut was = false;
        self.status.send_modify(|status| was = std::mem::replace(&mut status.attached, false));
        was
    }

    pub(super) fn gap(&self) {
        self.metrics.gaps.increment(1);
        self.status.send_modify(|status| status.gaps += 1);
    }

    pub(super) fn failed(&self, why: &str) {
        self.status.send_modify(|status| status.last_error = Some(why.to_owned()));
    }

    /// A message waits.
    pub(super) fn came(&self) {
        self.metrics.waiting.increment(1.0);
        self.status.send_modify(|status| status.waiting += 1);
    }

    /// A message found no room to wait in.
    pub(super) fn overflowed(&self) {
        self.metrics.overflow.increment(1);
        self.status.send_modify(|status| status.overflow += 1);
    }

    /// So many messages that waited have ended.
    pub(super) fn ended(&self, how: End, messages: u64) {
        if messages == 0 {
            return;
        }
        let counter = match how {
            End::Abandoned => &self.metrics.abandoned,
            End::Echo => &self.metrics.echo,
            End::Malformed => &self.metrics.malformed,
            End::PassedOver => &self.metrics.passed_over,
            End::Published => &self.metrics.published,
            End::Returned => &self.metrics.returned,
        };
        counter.increment(messages);
        #[allow(clippy::cast_precision_loss, reason = "a gauge of some thousands")]
        self.metrics.waiting.decrement(messages as f64);
        self.status.send_modify(|status| {
            status.waiting = status.waiting.saturating_sub(messages);
            let count = match how {
                End::Abandoned => &mut status.abandoned,
                End::Echo => &mut status.echoes,
                End::Malformed => &mut status.malformed,
                End::PassedOver => &mut status.passed_over,
                End::Published => {
                    if status.attached {
                        status.last_error = None;
                    }
                    &mut status.published
                }
                End::Returned => &mut status.returned,
            };
            *count += messages;
        });
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Figures").field(&*self.status.borrow()).finish()
    }
}
