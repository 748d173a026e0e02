//! How Redis is reached.

#[cfg(feature = "redis-cluster")]
mod cluster;
mod sentinel;

use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, TlsCertificates, Value, cmd, pipe,
};
use tokio::time::timeout;

use crate::config::{RedisConfig, Servers};
use crate::error::{Error, ErrorKind as Kind};
use crate::tier::redis::call::Call;
#[cfg(feature = "redis-cluster")]
use crate::tier::redis::connection::cluster::Cluster;
use crate::tier::redis::connection::sentinel::Sentinels;

/// Redis, wherever it is.
#[derive(Debug)]
pub(super) struct Server {
    place: Place,
    connect_timeout: Duration,
}

#[derive(Debug)]
enum Place {
    One(Client),
    Watched(Sentinels),
    #[cfg(feature = "redis-cluster")]
    Cluster(Cluster),
}

/// A connection that commands share. It ends with the first failure; nothing reconnects behind our back, since a new
/// one has to be told what the old one may have lost.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    wire: Wire,
}

#[derive(Clone, Debug)]
enum Wire {
    One(MultiplexedConnection),
    #[cfg(feature = "redis-cluster")]
    Cluster(cluster::Wire),
}

/// How many commands may wait to be sent. A place that becomes free is given to who waits for it first, polled or not:
/// four times as many as callers may read for themselves ([`Shared::glances`](crate::store::Shared::glances)), so that
/// those alone never have all of them.
const QUEUE: usize = 4 * crate::store::GLANCES;

// === impl Server ===

impl Server {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, Error> {
        let times = [
            ("response_timeout", config.response_timeout),
            ("connect_timeout", config.connect_timeout),
            ("max_backoff", config.max_backoff),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(Error::new(Kind::Config, format!("`{name}` must be more than zero")));
        }
        let place = Place::new(config).map_err(|error| {
            Error::with_source(Kind::Config, "the URL or the certificates of Redis cannot be used", error)
        })?;
        Ok(Self { place, connect_timeout: config.connect_timeout })
    }

    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let connecting = async {
            RedisResult::Ok(match &self.place {
                Place::One(client) => Wire::One(open(client).await?),
                Place::Watched(sentinels) => Wire::One(sentinels.master().await?.1),
                #[cfg(feature = "redis-cluster")]
                Place::Cluster(cluster) => Wire::Cluster(cluster.open().await?),
            })
        };
        let wire = timeout(self.connect_timeout, connecting).await.map_err(|_| silent())??;
        Ok(Connection { id: rand::random(), wire })
    }

    /// A connection that hears this channel.
    pub(super) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let listening = async |client: &Client| {
            let mut feed = client.get_async_pubsub().await?;
            feed.subscribe(channel).await?;
            RedisResult::Ok(feed)
        };
        let subscribing = async {
            match &self.place {
                Place::One(client) => listening(client).await,
                Place::Watched(sentinels) => listening(&sentinels.master().await?.0).await,
                // Any of them hears all that is said.
                #[cfg(feature = "redis-cluster")]
                Place::Cluster(cluster) => listening(cluster.any()).await,
            }
        };
        timeout(self.connect_timeout, subscribing).await.map_err(|_| silent())?
    }

    /// The number of the database.
    pub(super) fn database(&self) -> i64 {
        match &self.place {
            Place::One(client) => client.get_connection_info().redis_settings().db(),
            Place::Watched(sentinels) => sentinels.database(),
            // It has one.
            #[cfg(feature = "redis-cluster")]
            Place::Cluster(_) => 0,
        }
    }

    /// Whether there is one alone, through which all that is said goes: who hears that hears everything.
    pub(super) fn is_one(&self) -> bool {
        matches!(self.place, Place::One(_))
    }

    /// Whether what it holds is spread: commands go their own ways, and one of many keys does not exist.
    pub(super) fn is_spread(&self) -> bool {
        #[cfg(feature = "redis-cluster")]
        return matches!(self.place, Place::Cluster(_));
        #[cfg(not(feature = "redis-cluster"))]
        false
    }
}

// === impl Place ===

impl Place {
    fn new(config: &RedisConfig) -> RedisResult<Self> {
        let client = |url: &str| client(url, config.root_certificates.as_deref());
        Ok(match &config.servers {
            Servers::One(url) => Self::One(client(url)?),
            Servers::Sentinels { urls, master } => Self::Watched(Sentinels::new(urls, master, client)?),
            #[cfg(feature = "redis-cluster")]
            Servers::Cluster(urls) => Self::Cluster(Cluster::new(urls, config, client)?),
        })
    }
}

// === impl Connection ===

impl Connection {
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match &mut self.wire {
            Wire::One(wire) => command.query_async(wire).await,
            #[cfg(feature = "redis-cluster")]
            Wire::Cluster(wire) => wire.ask(command).await,
        }
    }

    /// What time it is where this name lies.
    #[cfg_attr(not(feature = "redis-cluster"), allow(unused_variables, reason = "it lies in one place"))]
    pub(super) async fn time(&mut self, name: &str) -> RedisResult<Value> {
        match &mut self.wire {
            Wire::One(wire) => cmd("TIME").query_async(wire).await,
            #[cfg(feature = "redis-cluster")]
            Wire::Cluster(wire) => wire.ask_at(name, cmd("TIME")).await,
        }
    }

    /// An error when a part of it is not what it was.
    pub(super) async fn look(&mut self) -> RedisResult<()> {
        match &mut self.wire {
            Wire::One(_) => Ok(()),
            #[cfg(feature = "redis-cluster")]
            Wire::Cluster(wire) => wire.look().await,
        }
    }

    /// Loads scripts, then asks everything in one trip. Answers in the order of the calls.
    pub(super) async fn send(
        &mut self,
        load: &[&str],
        calls: &[&Call<'_>],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        match &mut self.wire {
            Wire::One(wire) => send(wire, load, calls).await,
            #[cfg(feature = "redis-cluster")]
            Wire::Cluster(wire) => wire.send(load, calls).await,
        }
    }
}

async fn send(
    wire: &mut MultiplexedConnection,
    load: &[&str],
    calls: &[&Call<'_>],
) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut pipe = pipe();
    pipe.ignore_errors();
    for code in load {
        pipe.add_command(loading(code));
    }
    for call in calls {
        pipe.add_command(call.command.clone());
    }
    let mut answers: Vec<RedisResult<Value>> = pipe.query_async(wire).await?;
    if answers.len() != load.len() + calls.len() {
        return Err(silent());
    }
    let asked = answers.split_off(load.len());
    answers.into_iter().collect::<RedisResult<Vec<_>>>()?;
    Ok(asked)
}

fn loading(code: &str) -> Cmd {
    let mut load = cmd("SCRIPT");
    load.arg("LOAD").arg(code);
    load
}

/// One server, by its URL.
fn client(url: &str, authorities: Option<&[u8]>) -> RedisResult<Client> {
    let info = url.into_connection_info()?;
    // The driver's name is worth no right more.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    let info = info.set_redis_settings(settings);
    match (info.addr(), authorities) {
        (ConnectionAddr::TcpTls { .. }, authorities) => {
            provide();
            let roots = TlsCertificates { client_tls: None, root_cert: authorities.map(<[u8]>::to_vec) };
            Client::build_with_tls(info, roots)
        }
        _ => Client::open(info),
    }
}

/// The driver speaks TLS by the process's provider, which rustls cannot choose where a build has two: then it panics.
fn provide() {
    // An error: the application has chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whoever asks has a limit of its own.
async fn open(client: &Client) -> RedisResult<MultiplexedConnection> {
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    client.get_multiplexed_async_connection_with_config(&settings).await
}

pub(super) fn silent() -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer in time"))
}
