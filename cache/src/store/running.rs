//! What a store does as long as it runs, and at its end.

use std::future::Future;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use crate::store::{Shared, Store};
use crate::tier::Untold;

/// A time of hearing others. However it ends, nothing is heard from then on.
struct Hearing<'a>(&'a Shared);

/// The last word. However it ends, it says what others do not hear of.
struct Parting<'a>(&'a Shared);

/// How often figures are told to the metrics facade: more often than anybody scrapes.
const PUBLISH: Duration = Duration::from_secs(1);

impl Store {
    /// Hears what other processes end, and tells the metrics facade what the caches do, until `shutdown`. Then it waits for
    /// the loads and writes that run at that moment, and tells Redis once more of what ended while that was away. In memory
    /// alone there is nothing to hear. Call it once for each store: when one of two calls ends, the store counts as cut off.
    ///
    /// Who asks after `shutdown` is answered as before, and not waited for. The end comes with the last of those loads, none of
    /// which takes longer than its `hard_timeout` and [`lease_wait`](crate::StoreConfig::lease_wait), and with what
    /// [`invalidate_many`](crate::Cache::invalidate_many) has begun to tell, a trip for 250 keys. With Redis away it takes up
    /// to another 6 s: two attempts of a `connect_timeout` and eight times `response_timeout` each, and a little more where much
    /// is to be told. What it could not be told is lost with the process: others answer that until its life is over. A warning
    /// says how much it is, also of what ends after that.
    ///
    /// # Cancel safety
    ///
    /// When dropped, memory is trusted for [`StoreConfig::detached_age`](crate::StoreConfig::detached_age) only. What Redis
    /// was not told is warned of here too.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let shared = &self.0;
        let parting = Parting(shared);
        let hearing = Hearing(shared);
        let publishing = async {
            let mut ticks = interval(PUBLISH);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                shared.publish();
            }
        };
        tokio::select! {
            biased;
            () = shared.tier.listen(|heard| shared.hear(heard), || shared.now(), shutdown) => {}
            () = publishing => {}
        }
        drop(hearing);
        shared.leave().wait().await;
        // ORDER: after the writes, which may be among it.
        shared.tier.tell_rest().await;
        shared.publish();
        drop(parting);
    }
}

impl Shared {
    /// Those that run now.
    fn leave(&self) -> TaskTracker {
        let running = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        running.close();
        running
    }
}

// === impl Hearing ===

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        if self.0.tier.is_shared() {
            self.0.detach();
        }
    }
}

// === impl Parting ===

impl Drop for Parting<'_> {
    fn drop(&mut self) {
        let Untold { endings, doubtful, everything } = self.0.tier.untold();
        if endings > 0 {
            tracing::warn!(
                endings,
                doubtful,
                everything,
                "what was ended is not told: other processes answer it until its life is over"
            );
        } else if doubtful > 0 {
            tracing::warn!(
                doubtful,
                everything,
                "what ended last was told to a Redis that is gone: if that lost it, other processes answer it"
            );
        }
    }
}
