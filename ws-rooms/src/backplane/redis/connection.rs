//! Connections, and which server is at their other end.
//!
//! An incarnation is a server's process, its replication history, and how often a node has lost its source since. A
//! restarted or promoted Redis may have lost its last writes and would give their numbers again; under
//! another incarnation every room gets another epoch instead.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, MultiplexedConnection};
use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError, RedisResult,
};
use tokio::time::timeout;

use super::config::RedisConfig;
use super::presence;
use super::scripts::Scripts;

/// How long the word for how nodes publish is kept. Nodes renew it every few seconds.
const MODE_LIFE: Duration = Duration::from_secs(60);

/// The first Redis with sharded Pub/Sub.
const SHARDED_SINCE: u32 = 7;

/// Makes connections, and knows what the newest one said.
pub(super) struct Connector {
    client: Client,
    pub(super) config: RedisConfig,
    pub(super) scripts: Scripts,
    pub(super) presence: presence::scripts::Scripts,
    incarnation: Mutex<Arc<str>>,
}

/// A connection on which the scripts are loaded.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) sharded: bool,
}

// === impl Connector ===

impl Connector {
    pub(super) fn new(config: RedisConfig) -> RedisResult<Self> {
        let info = config.url.as_str().into_connection_info()?;
        // What a channel says comes beside the answers only in the third version of the protocol.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings))?;
        let (scripts, presence) = (Scripts::new(), presence::scripts::Scripts::new());
        Ok(Self { client, config, scripts, presence, incarnation: Mutex::new("".into()) })
    }

    /// Connects, loads the scripts, and reads the incarnation.
    pub(super) async fn connect(&self, pushes: Option<impl AsyncPushSender>) -> RedisResult<Link> {
        let patience = self.config.patience;
        let mut settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        if let Some(pushes) = pushes {
            settings = settings.set_push_sender(pushes);
        }
        let connecting = self.client.get_multiplexed_async_connection_with_config(&settings);
        let connection = within(patience, connecting).await?;
        let sharded = {
            let info: String =
                ::redis::cmd("INFO").arg("server").query_async(&mut connection.clone()).await?;
            let version = field(&info, "redis_version").and_then(|version| version.split('.').next());
            let major = version.and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
            self.config.sharded && major >= SHARDED_SINCE
        };
        let mut link = Link { connection, sharded };
        let mut pipe = ::redis::pipe();
        self.scripts.load(&mut pipe);
        pipe.exec_async(&mut link.connection).await?;
        self.agree(&mut link).await?;
        self.look(&link).await?;
        Ok(link)
    }

    /// The incarnation that was read last.
    pub(super) fn incarnation(&self) -> Arc<str> {
        Arc::clone(&self.incarnation.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the incarnation of the server at the other end.
    pub(super) async fn look(&self, link: &Link) -> RedisResult<Arc<str>> {
        let mut pipe = ::redis::pipe();
        pipe.cmd("INFO").arg("server").cmd("INFO").arg("replication").cmd("GET").arg(self.losses());
        let (server, replication, losses): (String, String, Option<u64>) =
            pipe.query_async(&mut link.connection.clone()).await?;
        let part =
            |info, name| field(info, name).ok_or_else(|| strange("INFO without what tells servers apart"));
        let (process, history) = (part(&server, "run_id")?, part(&replication, "master_replid")?);
        let read: Arc<str> = format!("{process}:{history}:{}", losses.unwrap_or(0)).into();
        let mut known = self.incarnation.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != read {
            if !known.is_empty() {
                metrics::counter!("ws.backplane.incarnations").increment(1);
                tracing::warn!("another Redis, or one that started anew: rooms are numbered anew");
            }
            *known = Arc::clone(&read);
        }
        Ok(read)
    }

    /// Counts a loss of the source: from here on there is another incarnation for all nodes.
    pub(super) async fn lose(&self, link: &Link) -> RedisResult<()> {
        let key = self.losses();
        ::redis::cmd("INCR").arg(key).exec_async(&mut link.connection.clone()).await?;
        self.look(link).await.map(drop)
    }

    /// Asks the connection whether it lives, and keeps the word for how nodes publish.
    pub(super) async fn renew(&self, link: &Link) -> RedisResult<()> {
        let mut command = ::redis::cmd("EXPIRE");
        command.arg(self.mode()).arg(MODE_LIFE.as_secs());
        command.exec_async(&mut link.connection.clone()).await
    }

    /// Nodes that publish where others do not listen would never be heard: all do as the first one.
    async fn agree(&self, link: &mut Link) -> RedisResult<()> {
        let ours = if link.sharded { "sharded" } else { "plain" };
        let mut pipe = ::redis::pipe();
        pipe.cmd("SET").arg(self.mode()).arg(ours).arg("NX").arg("EX").arg(MODE_LIFE.as_secs()).ignore();
        pipe.cmd("GET").arg(self.mode());
        let (theirs,): (Option<String>,) = pipe.query_async(&mut link.connection).await?;
        if theirs.is_some_and(|theirs| theirs != ours) {
            return Err(strange("other nodes of this Redis publish in another way: `sharded` must be alike"));
        }
        Ok(())
    }

    fn losses(&self) -> String {
        format!("{}losses", self.config.prefix)
    }

    fn mode(&self) -> String {
        format!("{}publish", self.config.prefix)
    }
}

/// A pause before the next attempt, drawn from a window that doubles with each: 50 ms to 2 s.
pub(super) fn pause(attempt: u32) -> Duration {
    let window = Duration::from_millis(50 << attempt.min(6)).min(Duration::from_secs(2));
    window.mul_f64(rand::random::<f64>())
}

/// An answer in time, or an error.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let silent = |_| Err(RedisError::from((ErrorKind::Io, "no answer in time")));
    timeout(patience, answer).await.unwrap_or_else(silent)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn strange(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, what))
}
