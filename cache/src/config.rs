//! Settings, with the reason beside each default.

#[cfg(feature = "redis")]
use std::fmt;
use std::time::Duration;

use crate::clock::Clock;
use crate::codec::Codec;
use crate::policy::Policy;

/// How a [`Store`](crate::Store) behaves: what all caches of a process share.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreConfig {
    /// The bound of every life, the time after it in which something old may be answered included. Default one day, at
    /// most 40 days.
    ///
    /// A policy that wants more is refused ([`Store::cache`](crate::Store::cache),
    /// [`Cache::with_policy`](crate::Cache::with_policy)). A load that wants more
    /// ([`Loaded::with_ttl`](crate::Loaded::with_ttl)) gets this.
    pub max_ttl: Duration,
    /// Whether a policy that wants more than `max_ttl` gets that, in place of being refused. Default not: what is meant to
    /// live for a week should not live for a day, and nobody know. It is for a process that bounds all of its caches by
    /// where it runs.
    pub cut_policies: bool,
    /// How many loads may run at once, one at least; more wait. Those that a load waits for run in its place.
    ///
    /// The default, 1024, is more than any database behind it answers at once.
    pub max_loads: usize,
    /// How long a lease lives that its holder does not renew: after a process died in a load, that value is written to Redis
    /// by nobody for so long. Others wait for it as long as `lease_wait`, then load for themselves, and keep it in memory.
    /// Default 5 s: a load that runs renews its lease several times in it.
    pub lease_ttl: Duration,
    /// How long to wait for another process that loads the same. Default 2 s, then this one loads too.
    pub lease_wait: Duration,
    /// How long memory is believed when nobody tells us of invalidations any more: Redis away, or
    /// [`run`](crate::Store::run) not running. It counts from the last moment up to which all was heard, and for what is
    /// loaded later from when it was asked for.
    ///
    /// Default 10 s: short enough for a wrong answer to pass, long enough to spare the database a short outage.
    pub detached_age: Duration,
    /// The clock by which entries age. Default [`Clock::system`].
    pub clock: Clock,
}

/// Where Redis is, and how long it is waited for. It is version 7.0 or later.
///
/// Names that count and end share one hash tag, `{PREFIX}:…`; values lie under `PREFIX:v:…`, each for itself. All of them
/// have a life, so a Redis that may evict, and one that loses everything, cost loads and nothing else. A user of Redis
/// needs no more than these rights, here with the usual prefix:
///
/// ```text
/// ~tramline:cache:* ~{tramline:cache}:* &{tramline:cache}:feed
/// +get +set +mget +exists +unlink +getrange +setrange +strlen +pttl +pexpire +hmget +hset +hincrby
/// +time +evalsha +script|load +publish +subscribe +ping
/// ```
///
/// A master that sentinels watch over is asked for its `+role`; a cluster, for `+cluster|slots +client|id`. In another
/// database than 0 the name of the feed ends with its number, `&{tramline:cache}:feed:3`.
#[cfg(feature = "redis")]
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    pub(crate) servers: Servers,
    /// For TLS: the certificates (PEM) of those who may vouch for Redis, in place of the public authorities.
    pub root_certificates: Option<Vec<u8>>,
    /// What all names in Redis begin with, and the name of the feed. Default `tramline:cache`.
    pub prefix: String,
    /// How long an answer may take. Default 250 ms: a load is mostly faster than that.
    pub response_timeout: Duration,
    /// How long a connection may take to stand. Default 1 s.
    pub connect_timeout: Duration,
    /// The bound of the pauses while Redis is away, doubling from 50 ms. Default 2 s.
    pub max_backoff: Duration,
    /// How many invalidations are remembered for a Redis that is away. Default 1024; of more, keys become their whole
    /// caches, and what is still more becomes everything.
    pub max_pending: usize,
}

/// How many there are, and who says so.
#[cfg(feature = "redis")]
#[derive(Clone)]
pub(crate) enum Servers {
    One(String),
    Sentinels {
        urls: Vec<String>,
        master: String,
    },
    #[cfg(feature = "redis-cluster")]
    Cluster(Vec<String>),
}

/// How one [`Cache`](crate::Cache) behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheConfig {
    /// The name: of its values in the shared tier, and the metrics' label `cache`. 1 to 32 of `a-z 0-9 - _`.
    pub name: String,
    /// The version of the values' type, beginning with 1: raise it when old values can no longer be read, or no longer
    /// mean the same. Values of another version are not seen, so that two versions can run beside each other.
    pub version: u32,
    /// How entries are kept.
    pub policy: Policy,
    /// How many bytes of this process's memory the entries may weigh: their encoded size, keys,
    /// tags and overhead.
    ///
    /// The default, 16 MiB, is some 15,000 answers, assuming 1 KiB each with what they cost beside. Of texts so much is held; what is shorter when it is written
    /// than it is in memory weighs less than it takes: a `Vec<u64>` of small numbers a quarter.
    ///
    /// At least twice `max_value`. What is heavier than a part of memory all the same, by a long key or many tags, is not
    /// kept there; [`Stats::unusable`](crate::Stats::unusable) counts it.
    pub max_weight: u64,
    /// How many entries memory may hold. Default 1,000,000: weight is the bound that counts.
    pub max_entries: u64,
    /// The largest encoded value that is kept; a larger one is loaded each time.
    ///
    /// The default, 1 MiB: in Redis a value holds up all commands behind it while it is sent.
    pub max_value: usize,
    /// How values are written for the shared tier. Default JSON. In memory alone nobody reads them, and yet a value that the
    /// codec cannot write is not kept there either: its weight is as long as it would be.
    pub codec: Codec,
    /// From how many bytes on a value is compressed. Default 4 KiB, assuming that what is shorter takes no longer on its way as
    /// it is.
    #[cfg(feature = "compression")]
    pub compress_from: Option<usize>,
}

// === impl StoreConfig ===

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            max_ttl: Duration::from_secs(24 * 60 * 60),
            cut_policies: false,
            max_loads: 1024,
            lease_ttl: Duration::from_secs(5),
            lease_wait: Duration::from_secs(2),
            detached_age: Duration::from_secs(10),
            clock: Clock::system(),
        }
    }
}

// === impl RedisConfig ===

#[cfg(feature = "redis")]
impl RedisConfig {
    /// The Redis at this URL, and everything else as usual: `redis://` or `rediss://` (TLS), with user and password where
    /// there are some.
    ///
    /// TLS is rustls's, by the provider of the process. Where it has none yet, [`Store::redis`](crate::Store::redis)
    /// installs ring's: an application that wants another one installs that before.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::of(Servers::One(url.into()))
    }

    /// The master of this name, which sentinels watch over: their URLs, as many as are known.
    ///
    /// Where the master has a user, a password or TLS it is a URL with the name in the host's place:
    /// `rediss://user:password@name`. What the URLs of the sentinels hold is for the sentinels alone.
    #[must_use]
    pub fn sentinel<U: Into<String>>(urls: impl IntoIterator<Item = U>, master: impl Into<String>) -> Self {
        let urls = urls.into_iter().map(Into::into).collect();
        Self::of(Servers::Sentinels { urls, master: master.into() })
    }

    /// The cluster that these belong to: URLs of some of its nodes, with the same user and password. More are found.
    #[cfg(feature = "redis-cluster")]
    #[must_use]
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::of(Servers::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    fn of(servers: Servers) -> Self {
        Self {
            servers,
            root_certificates: None,
            prefix: "tramline:cache".to_owned(),
            response_timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(1),
            max_backoff: Duration::from_secs(2),
            max_pending: 1024,
        }
    }
}

#[cfg(feature = "redis")]
impl fmt::Debug for RedisConfig {
    // URLs hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

// === impl CacheConfig ===

impl CacheConfig {
    /// A cache of this name, and everything else as usual.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: 1,
            policy: Policy::default(),
            max_weight: 16 * 1024 * 1024,
            max_entries: 1_000_000,
            max_value: 1024 * 1024,
            codec: Codec::Json,
            #[cfg(feature = "compression")]
            compress_from: Some(4096),
        }
    }
}
