//! Redis: the tier that processes share.
//!
//! A value's slot holds `V`, the marks of its tags and the value, or `L` and the lease of the load that may
//! write it. A mark is random and made by the first who asks; removing it ends everything that carries it,
//! and a mark that Redis lost on its own does the same: the safe side.

pub(crate) mod feed;
mod gate;
mod scripts;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, RedisError, RedisResult};
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::CacheConfig;
use crate::error::{Error, ErrorKind};
use crate::key::{Key, Tag};
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::tier::redis::gate::Gate;
use crate::tier::redis::scripts::Scripts;

/// The shared tier.
pub(crate) struct Redis {
    config: CacheConfig,
    client: Client,
    connection: Mutex<ConnectionManager>,
    scripts: Scripts,
    gate: Gate,
    metrics: Arc<Metrics>,
    /// Tells our own messages on the feed from others'.
    node: String,
    /// Whether the feed is heard.
    attached: AtomicBool,
}

/// What is to be forgotten, everywhere.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Invalidation {
    All,
    Key(Key),
    Tag(Tag),
}

/// What a question found.
#[derive(Debug)]
pub(crate) enum Found {
    /// A value with the rest of its life.
    Value(Vec<u8>, Duration),
    /// Nothing, and the right to write it.
    Nothing(Slot),
    /// Nothing, but another load has the right to write it.
    Busy,
    /// Redis is away.
    Away,
}

/// The right to write one value.
#[derive(Debug)]
pub(crate) struct Slot {
    lease: String,
    marks: Vec<String>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Filled {
    Stored,
    /// Invalidated since the slot was taken.
    Refused,
    Away,
}

/// How long to wait before asking again for what another process loads: doubling from the first.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const MAX_WAIT: Duration = Duration::from_millis(100);

// === impl Redis ===

impl Redis {
    pub(crate) fn new(url: &str, config: CacheConfig, metrics: Arc<Metrics>) -> Result<Arc<Self>, Error> {
        let invalid = |e: RedisError| Error::new(ErrorKind::Config, "the URL of Redis").with_source(e);
        let client = Client::open(url).map_err(invalid)?;
        let connection = connect(&client, &config).map_err(invalid)?;
        Ok(Arc::new(Self {
            gate: Gate::new(config.max_pause, config.max_pending),
            config,
            client,
            connection: Mutex::new(connection),
            scripts: Scripts::new(),
            metrics,
            node: Uuid::new_v4().simple().to_string(),
            attached: AtomicBool::new(false),
        }))
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// Asks for a value. With `lease`, nothing comes with the right to write it; another load's is waited for.
    pub(crate) async fn lookup(self: &Arc<Self>, key: &Key, policy: &Policy, lease: bool) -> Found {
        let deadline = tokio::time::Instant::now() + self.config.lease_wait;
        let mut wait = FIRST_WAIT;
        loop {
            match self.ask(key, policy, lease).await {
                Found::Busy if lease && tokio::time::Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..=1.0))).await;
                    wait = (wait * 2).min(MAX_WAIT);
                }
                found => return found,
            }
        }
    }

    /// Writes a value with the right to.
    pub(crate) async fn fill(
        self: &Arc<Self>,
        key: &Key,
        policy: &Policy,
        slot: &Slot,
        value: &[u8],
        ttl: Duration,
    ) -> Filled {
        let fill = self.scripts.fill(&self.names(key, policy), slot, value, ttl, self.mark_life(), None);
        match self.call(fill.invoke_async::<i64>(&mut self.connection())).await {
            Some(0) => Filled::Refused,
            Some(_) => Filled::Stored,
            None => Filled::Away,
        }
    }

    /// Writes a value over whatever is there, and tells the others.
    pub(crate) async fn put(self: &Arc<Self>, key: &Key, policy: &Policy, value: &[u8], ttl: Duration) {
        let invalidation = Invalidation::Key(key.clone());
        // A second round when a tag was invalidated between question and write.
        for _ in 0..2 {
            let Some(marks) = self.marks(key, policy).await else { break };
            let slot = Slot { lease: String::new(), marks };
            let tell = (self.channel(), invalidation.to_message(&self.node));
            let fill =
                self.scripts.fill(&self.names(key, policy), &slot, value, ttl, self.mark_life(), Some(&tell));
            match self.call(fill.invoke_async::<i64>(&mut self.connection())).await {
                Some(0) => {}
                Some(_) => return,
                None => break,
            }
        }
        // Not written: what was there before must not be read any more.
        self.invalidate(&invalidation).await;
    }

    /// Gives the right to write back, so that nobody waits for it.
    pub(crate) async fn release(self: &Arc<Self>, key: &Key, slot: &Slot) {
        let release = self.scripts.drop_if(&self.value_name(key), format!("L{}", slot.lease).as_bytes());
        self.call(release.invoke_async::<i64>(&mut self.connection())).await;
    }

    /// Removes a value that cannot be read, unless it has changed.
    pub(crate) async fn drop_bad(self: &Arc<Self>, key: &Key, value: &[u8]) {
        let bad = self.scripts.drop_ending(&self.value_name(key), value);
        self.call(bad.invoke_async::<i64>(&mut self.connection())).await;
    }

    /// Removes, and tells the others; when Redis is away, before it is used again.
    pub(crate) async fn invalidate(self: &Arc<Self>, invalidation: &Invalidation) {
        if self.call(self.send(invalidation)).await.is_none() {
            self.gate.remember(invalidation.clone());
        }
    }

    /// Whether Redis may be asked; looks after it in the background when its pause is over.
    pub(crate) fn usable(self: &Arc<Self>) -> bool {
        if self.gate.is_open() {
            return true;
        }
        if self.gate.begin_probe() {
            let redis = self.clone();
            tokio::spawn(async move { redis.probe().await });
        }
        false
    }

    async fn ask(self: &Arc<Self>, key: &Key, policy: &Policy, lease: bool) -> Found {
        let token = Uuid::new_v4().simple().to_string();
        let life = if lease { self.config.load_timeout } else { Duration::ZERO };
        let read = self.scripts.read(&self.names(key, policy), &token, life, self.mark_life());
        let answer = self.call(read.invoke_async(&mut self.connection())).await;
        let Some((status, value, ttl, marks)) = answer else { return Found::Away };
        let (status, value, ttl): (String, Vec<u8>, i64) = (status, value, ttl);
        match status.as_str() {
            "H" => match u64::try_from(ttl) {
                Ok(ttl) if ttl > 0 => Found::Value(value, Duration::from_millis(ttl)),
                _ => Found::Busy,
            },
            "L" => Found::Nothing(Slot { lease: token, marks }),
            _ => Found::Busy,
        }
    }

    async fn marks(self: &Arc<Self>, key: &Key, policy: &Policy) -> Option<Vec<String>> {
        let token = Uuid::new_v4().simple().to_string();
        let read = self.scripts.read(&self.names(key, policy), &token, Duration::ZERO, self.mark_life());
        let (_, _, _, marks): (String, Vec<u8>, i64, Vec<String>) =
            self.call(read.invoke_async(&mut self.connection())).await?;
        Some(marks)
    }

    async fn send(&self, invalidation: &Invalidation) -> RedisResult<()> {
        let name = match invalidation {
            Invalidation::All => self.all_name(),
            Invalidation::Key(key) => self.value_name(key),
            Invalidation::Tag(tag) => self.mark_name(tag),
        };
        ::redis::pipe()
            .atomic()
            .cmd("UNLINK")
            .arg(name)
            .ignore()
            .publish(self.channel(), invalidation.to_message(&self.node))
            .ignore()
            .query_async(&mut self.connection())
            .await
    }

    /// Runs a command unless Redis is known to be away.
    async fn call<T>(self: &Arc<Self>, command: impl Future<Output = RedisResult<T>>) -> Option<T> {
        if !self.usable() {
            return None;
        }
        match timeout(self.config.redis_timeout, command).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) if is_about_one_key(&error) => {
                self.metrics.redis_errors.add();
                tracing::warn!(cache = self.config.name, %error, "Redis refuses a command");
                None
            }
            Ok(Err(error)) => {
                self.failed(&error);
                None
            }
            Err(_) => {
                self.failed(&"no answer in time");
                None
            }
        }
    }

    fn failed(&self, error: &dyn fmt::Display) {
        self.metrics.redis_errors.add();
        if self.gate.shut() {
            tracing::warn!(cache = self.config.name, %error, "Redis is away; going on without it");
        }
    }

    /// Finds out whether Redis is back, and tells it what it missed before anyone reads from it.
    async fn probe(self: Arc<Self>) {
        let work = async {
            let mut connection = self.connection();
            ::redis::cmd("PING").query_async::<()>(&mut connection).await?;
            loop {
                let pending = self.gate.pending();
                for invalidation in &pending {
                    self.send(invalidation).await?;
                }
                if self.gate.open(&pending) {
                    return Ok::<_, RedisError>(());
                }
            }
        };
        let limit = self.config.connect_timeout + self.config.redis_timeout * 4;
        if let Ok(Ok(())) = timeout(limit, work).await {
            tracing::info!(cache = self.config.name, "Redis is back");
            return;
        }
        // A connection whose other end is gone without a word never ends by itself.
        if let Ok(fresh) = connect(&self.client, &self.config) {
            *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        self.gate.probe_failed();
    }

    fn connection(&self) -> ConnectionManager {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A mark lives longer than any entry that carries it; it is renewed with each of them.
    fn mark_life(&self) -> Duration {
        self.config.max_ttl + self.config.load_timeout
    }

    /// The names that a script touches: the value's, then the marks'.
    fn names(&self, key: &Key, policy: &Policy) -> Vec<String> {
        let mut names = vec![self.value_name(key), self.all_name()];
        names.extend(policy.tags().iter().map(|tag| self.mark_name(tag)));
        names
    }

    fn value_name(&self, key: &Key) -> String {
        format!("{}:v:{}", self.config.prefix, key.as_str())
    }

    fn mark_name(&self, tag: &Tag) -> String {
        format!("{}:t:{}", self.config.prefix, tag.as_str())
    }

    fn all_name(&self) -> String {
        format!("{}:all", self.config.prefix)
    }

    fn channel(&self) -> String {
        format!("{}:feed", self.config.prefix)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.config.prefix).finish_non_exhaustive()
    }
}

// === impl Invalidation ===

impl Invalidation {
    fn to_message(&self, node: &str) -> String {
        match self {
            Self::All => format!("{node} a "),
            Self::Key(key) => format!("{node} k {}", key.as_str()),
            Self::Tag(tag) => format!("{node} t {}", tag.as_str()),
        }
    }

    /// The sender and what it says; none when it says nothing known.
    fn from_message(message: &str) -> Option<(&str, Self)> {
        let mut words = message.splitn(3, ' ');
        let (node, kind, name) = (words.next()?, words.next()?, words.next()?);
        let invalidation = match kind {
            "a" => Self::All,
            "k" => Self::Key(Key::from_wire(name)),
            "t" => Self::Tag(Tag::from_wire(name)),
            _ => return None,
        };
        Some((node, invalidation))
    }
}

/// Redis is well, and this one command is not: no reason to go without it.
fn is_about_one_key(error: &RedisError) -> bool {
    matches!(error.code(), Some("WRONGTYPE" | "ERR"))
}

fn connect(client: &Client, config: &CacheConfig) -> RedisResult<ConnectionManager> {
    let settings = ConnectionManagerConfig::new()
        // Our own gate paces the attempts.
        .set_number_of_retries(0)
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(config.redis_timeout));
    ConnectionManager::new_lazy_with_config(client.clone(), settings)
}
