//! A service's caches: where they are, and what they forget when something has happened.

use std::future::Future;
use std::time::Duration;

use http::HeaderName;
use tramline_cache::{RedisConfig, Store, StoreConfig};
use tramline_event_hub::{Context, Event, Handler, Outcome};
use tramline_observability::lifecycle::Phase;

use crate::config::{Common, ConfigError};
use crate::shell::Shell;

/// What forgets values because of an event: a service's caches, or whatever holds them.
pub trait Forget: Clone + Send + Sync + 'static {
    /// Forgets what `event` has changed. It is called again when the event comes again.
    fn forget(&self, event: &Event) -> impl Future<Output = ()> + Send;
}

/// How long anything is kept where replicas cannot tell each other what they wrote.
///
/// Two seconds: a user who is sent to another replica meets nothing older, and a page that many look at is still
/// read once for all of them.
const UNTOLD: Duration = Duration::from_secs(2);

/// `handler`, and what `caches` forget of an event that it has taken: after its commit and before the ack. An event that
/// was taken before is forgotten again, since the process may have died between its commit and this.
pub fn forgetting<C, H, F>(caches: C, handler: H) -> impl Handler<(Event, Context)>
where
    C: Forget,
    H: Fn(Event, Context) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send,
{
    move |event: Event, cx: Context| {
        let (caches, handled) = (caches.clone(), handler(event.clone(), cx));
        async move {
            let outcome = handled.await;
            if outcome == Outcome::Ack {
                caches.forget(&event).await;
            }
            outcome
        }
    }
}

/// The header that tells the browser's tools where an answer came from: `Server-Timing: cache;desc=hit`.
#[must_use]
pub fn server_timing(outcome: tramline_cache::Outcome) -> [(HeaderName, &'static str); 1] {
    [(HeaderName::from_static("server-timing"), outcome.server_timing())]
}

impl Shell {
    /// The cache on the Redis that the configuration names, where the names of each service are its own; without
    /// `REDIS_URL` it is this process's memory.
    ///
    /// In memory alone lives are short, unless the hub is in memory, too: then there is no other process.
    ///
    /// # Errors
    ///
    /// A URL that does not parse.
    pub fn open_cache(&self) -> Result<Store, ConfigError> {
        let (common, config) = (self.common(), config(self.common()));
        let Some(url) = &common.redis_url else { return Ok(Store::memory(config)) };
        let mut redis = RedisConfig::new(url.expose());
        redis.prefix = format!("tramline:{}:cache", common.name);
        Store::redis(redis, config).map_err(|fault| ConfigError::new("REDIS_URL", fault))
    }

    /// Takes care of a cache: it hears what other processes end, until requests and consumers are done, which end and load
    /// themselves. What they leave behind is waited for.
    pub fn cache(&self, cache: &Store) {
        let cache = cache.clone();
        self.lifecycle().spawn(Phase::Relays, "cache", move |stop| async move {
            cache.run(stop.cancelled()).await;
        });
    }
}

fn config(common: &Common) -> StoreConfig {
    let mut config = StoreConfig::default();
    if common.redis_url.is_none() && common.rabbitmq_url.is_some() {
        // Each cache has the life that is right where they can.
        (config.max_ttl, config.cut_policies) = (UNTOLD, true);
    }
    config
}

#[cfg(test)]
mod tests;
