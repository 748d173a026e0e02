//! Connections, and which server is at their other end.
//!
//! An incarnation is a server's process, its replication history, and how often a node has lost its source since. A
//! restarted or promoted Redis may have lost its last writes and would give their numbers again; under
//! another incarnation every room gets another epoch instead.
//!
//! Each connection knows the server that it has itself asked. While a name moves from one server to another, connections
//! to both may be open: only those to the one that was found last are used, the others are made anew.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, MultiplexedConnection};
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline,
    ProtocolVersion, RedisError, RedisResult, Value, from_redis_value,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::config::RedisConfig;
use super::presence;
use super::reach::Reach;
use super::scripts::Scripts;

/// How long the word for how nodes publish is kept. Nodes renew it every few seconds.
const MODE_LIFE: Duration = Duration::from_secs(60);

/// KEYS: the count of losses.
///
/// ORDER: a Redis without memory does not refuse a script whose first write needs none: a loss is no event.
const LOSE: &str = "redis.call('PERSIST', KEYS[1]) return redis.call('INCR', KEYS[1])";

/// The first Redis with sharded Pub/Sub.
const SHARDED_SINCE: u32 = 7;

/// Makes connections, and knows what was found last.
pub(super) struct Connector {
    client: Client,
    pub(super) config: RedisConfig,
    pub(super) scripts: Scripts,
    pub(super) presence: presence::scripts::Scripts,
    newest: watch::Sender<Incarnation>,
    /// How often servers have been asked which one they are.
    asked: AtomicU64,
}

/// A connection on which the scripts are loaded. Clones are the same connection.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) sharded: bool,
    /// The server's process and its replication history, as this connection read them last.
    server: Arc<Mutex<Arc<str>>>,
}

/// What numbers belong to.
#[derive(Clone, Debug, Default)]
pub(super) struct Incarnation {
    /// Which question it is the answer to. A later question may be answered first.
    asked: u64,
    server: Arc<str>,
    /// How often a node has lost its source.
    losses: u64,
}

// === impl Connector ===

impl Connector {
    pub(super) fn new(config: RedisConfig) -> RedisResult<Self> {
        let info = config.url.as_str().into_connection_info()?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            provide();
        }
        // What a channel says comes beside the answers only in the third version of the protocol.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings))?;
        let (scripts, presence) = (Scripts::new(), presence::scripts::Scripts::new());
        Ok(Self {
            client,
            config,
            scripts,
            presence,
            newest: watch::Sender::default(),
            asked: AtomicU64::new(0),
        })
    }

    /// Connects, loads the scripts, and reads the incarnation.
    pub(super) async fn connect(&self, pushes: Option<impl AsyncPushSender>) -> RedisResult<Link> {
        let patience = self.config.patience;
        let mut settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let listens = pushes.is_some();
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
        let link = Link { connection, sharded, server: Arc::default() };
        let mut pipe = ::redis::pipe();
        self.scripts.load(&mut pipe);
        pipe.exec_async(&mut link.connection.clone()).await?;
        self.try_channels(&link, listens).await?;
        self.agree(&link).await?;
        let read = self.read(&link).await?;
        link.found(&read.server);
        self.note(read);
        Ok(link)
    }

    /// The incarnation on this connection.
    ///
    /// An error when another connection has found another server since: this one is not to be used any more.
    pub(super) fn incarnation(&self, link: &Link) -> RedisResult<Arc<str>> {
        let newest = self.newest.borrow();
        if newest.server != link.server() {
            return Err(RedisError::from((ErrorKind::Io, "another connection has found another Redis")));
        }
        Ok(newest.name())
    }

    /// Hears of other incarnations.
    pub(super) fn incarnations(&self) -> watch::Receiver<Incarnation> {
        self.newest.subscribe()
    }

    /// Asks the server at the other end for the incarnation.
    ///
    /// An error as of [`incarnation`](Self::incarnation).
    pub(super) async fn look(&self, link: &Link) -> RedisResult<Arc<str>> {
        self.incarnation(link)?;
        let read = self.read(link).await?;
        // The same connection, and its server may be another one now.
        if !link.found(&read.server) {
            // ORDER: another connection may have found another server while this one was asked.
            self.incarnation(link)?;
        }
        self.note(read);
        // ORDER: what was asked later and answered before is what counts.
        self.incarnation(link)
    }

    async fn read(&self, link: &Link) -> RedisResult<Incarnation> {
        // ORDER: counted before the question leaves, so that whoever has a higher number has seen as much.
        let asked = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut pipe = ::redis::pipe();
        pipe.cmd("INFO").arg("server").cmd("INFO").arg("replication").cmd("GET").arg(self.losses());
        let (server, replication, losses): (String, String, Option<u64>) =
            pipe.query_async(&mut link.connection.clone()).await?;
        let part =
            |info, name| field(info, name).ok_or_else(|| strange("INFO without what tells servers apart"));
        let (process, history) = (part(&server, "run_id")?, part(&replication, "master_replid")?);
        let server = format!("{process}:{history}").into();
        Ok(Incarnation { asked, server, losses: losses.unwrap_or(0) })
    }

    /// Takes an answer, unless a question that was put later has been answered.
    fn note(&self, read: Incarnation) {
        self.newest.send_if_modified(|newest| {
            if read.asked < newest.asked {
                return false;
            }
            newest.asked = read.asked;
            if (&newest.server, newest.losses) == (&read.server, read.losses) {
                return false;
            }
            if !newest.server.is_empty() {
                metrics::counter!("ws.backplane.incarnations").increment(1);
                tracing::warn!("another Redis, or one that started anew: rooms are numbered anew");
            }
            *newest = read;
            true
        });
    }

    /// Counts a loss of the source: from here on there is another incarnation for all nodes.
    pub(super) async fn lose(&self, link: &Link) -> RedisResult<()> {
        let mut count = ::redis::cmd("EVAL");
        count.arg(LOSE).arg(1).arg(self.losses());
        count.exec_async(&mut link.connection.clone()).await?;
        self.look(link).await.map(drop)
    }

    /// Asks the connection whether it lives and where it leads, and keeps the word for how nodes publish.
    pub(super) async fn renew(&self, link: &Link) -> RedisResult<()> {
        self.look(link).await?;
        self.agree(link).await
    }

    /// Nodes that publish where others do not listen would never be heard: all do as the first one.
    async fn agree(&self, link: &Link) -> RedisResult<()> {
        let ours = if link.sharded { "sharded" } else { "plain" };
        let mut redis = link.connection.clone();
        let mut pipe = ::redis::pipe();
        // ORDER: asked for before it is set, which a Redis without memory refuses also when it is there.
        pipe.cmd("EXPIRE").arg(self.mode()).arg(MODE_LIFE.as_secs()).ignore();
        pipe.cmd("GET").arg(self.mode());
        let (mut theirs,): (Option<String>,) = pipe.query_async(&mut redis).await?;
        if theirs.is_none() {
            let mut pipe = ::redis::pipe();
            pipe.cmd("SET").arg(self.mode()).arg(ours).arg("NX").arg("EX").arg(MODE_LIFE.as_secs());
            pipe.cmd("GET").arg(self.mode());
            let mut said = link.each::<Option<String>>(&mut pipe).await?;
            // One without memory, or without the right, sets nothing: as if nobody had said anything.
            theirs = said.pop().transpose()?.flatten();
        }
        if theirs.is_some_and(|theirs| theirs != ours) {
            return Err(strange("other nodes of this Redis publish in another way: `sharded` must be alike"));
        }
        Ok(())
    }

    /// How often a connection that stands is asked: often enough that it is found dead in time, and that the word is
    /// kept.
    pub(super) fn renew_every(&self) -> Duration {
        (2 * self.config.patience).min(MODE_LIFE / 3)
    }

    /// Tries what rooms need of the channels, also where scripts would find out with half of their work done.
    async fn try_channels(&self, link: &Link, listens: bool) -> RedisResult<()> {
        let channel = format!("{}try", self.config.prefix);
        let mut pipe = ::redis::pipe();
        let mut add = |command: &str| {
            let command = if link.sharded { format!("S{command}") } else { command.to_owned() };
            pipe.cmd(&command).arg(&channel);
        };
        if listens {
            add("SUBSCRIBE");
            add("UNSUBSCRIBE");
        }
        add("PUBLISH");
        pipe.arg("").ignore();
        pipe.exec_async(&mut link.connection.clone()).await
    }

    fn losses(&self) -> String {
        format!("{}losses", self.config.prefix)
    }

    fn mode(&self) -> String {
        format!("{}publish", self.config.prefix)
    }
}

// === impl Link ===

impl Link {
    fn server(&self) -> Arc<str> {
        Arc::clone(&self.server.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends all commands, and says what became of each. An error is of the connection: of all of them.
    pub(super) async fn each<T: FromRedisValue>(
        &self,
        pipe: &mut Pipeline,
    ) -> RedisResult<Vec<RedisResult<T>>> {
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        let answers: Vec<RedisResult<Value>> =
            pipe.ignore_errors().query_async(&mut self.connection.clone()).await?;
        let read = |answer: RedisResult<Value>| match answer.and_then(|value| Ok(from_redis_value(value)?)) {
            Err(error) if Reach::of(&error) == Reach::Connection => Err(error),
            result => Ok(result),
        };
        answers.into_iter().map(read).collect()
    }

    /// Says whether it was another one before.
    fn found(&self, server: &Arc<str>) -> bool {
        let mut known = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *known, Arc::clone(server)) != *server
    }
}

// === impl Incarnation ===

impl Incarnation {
    fn name(&self) -> Arc<str> {
        format!("{}:{}", self.server, self.losses).into()
    }
}

/// An answer in time, or an error.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let silent = |_| Err(RedisError::from((ErrorKind::Io, "no answer in time")));
    timeout(patience, answer).await.unwrap_or_else(silent)
}

/// The driver speaks TLS by the process's provider, which rustls cannot choose where a build has two: then it panics.
fn provide() {
    // An error: the application has chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn strange(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(patience: Duration) -> Connector {
        let mut config = RedisConfig::new("redis://127.0.0.1:1");
        config.patience = patience;
        Connector::new(config).unwrap()
    }

    /// A renewal is asked before somebody counts a loss, and answered after: nobody believes the old count again.
    #[test]
    fn what_was_asked_later_counts() {
        let connector = connector(Duration::from_secs(2));
        let read = |asked, losses| Incarnation { asked, server: "one".into(), losses };
        let mut heard = connector.incarnations();
        connector.note(read(1, 0));
        connector.note(read(3, 1));
        heard.mark_unchanged();
        connector.note(read(2, 0));
        assert_eq!(&*connector.newest.borrow().name(), "one:1");
        connector.note(read(4, 1));
        assert!(!heard.has_changed().unwrap(), "nothing new");
        connector.note(read(3, 0));
        assert_eq!(&*connector.newest.borrow().name(), "one:1", "the same answer again has a later number");
        connector.note(read(5, 2));
        assert!(heard.has_changed().unwrap());
    }

    /// However long answers may take, the word for how nodes publish does not end between two renewals.
    #[test]
    fn the_word_is_renewed_within_its_life() {
        for seconds in [1, 2, 30, 60, 600] {
            let every = connector(Duration::from_secs(seconds)).renew_every();
            assert!(2 * every < MODE_LIFE && every <= 2 * Duration::from_secs(seconds), "{every:?}");
        }
    }

    /// An application with two providers of TLS in its build has chosen none by that, and rustls would panic.
    #[test]
    fn whoever_asks_for_tls_has_a_provider() {
        Connector::new(RedisConfig::new("rediss://127.0.0.1:1")).unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
