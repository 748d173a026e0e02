//! How Redis is reached.

use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, RedisResult};
use tokio::time::timeout;

use crate::config::RedisConfig;
use crate::error::{Error, ErrorKind as Kind};

/// One Redis behind one address.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    connect_timeout: Duration,
}

/// A connection that commands share. It ends with the first failure; nothing reconnects behind our back, since a new
/// one has to be told what the old one may have lost.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) wire: MultiplexedConnection,
}

// === impl Server ===

impl Server {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, Error> {
        let client = client(&config.url)
            .map_err(|error| Error::with_source(Kind::Config, "the URL of Redis", error))?;
        if config.connect_timeout.is_zero() || config.response_timeout.is_zero() || config.max_pause.is_zero()
        {
            return Err(Error::new(Kind::Config, "the timeouts of Redis are longer than nothing"));
        }
        Ok(Self { client, connect_timeout: config.connect_timeout })
    }

    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let settings = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&settings);
        let wire = timeout(self.connect_timeout, connecting).await.map_err(|_| silent())??;
        Ok(Connection { id: rand::random(), wire })
    }

    /// A connection that hears this channel.
    pub(super) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let subscribing = async {
            let mut feed = self.client.get_async_pubsub().await?;
            feed.subscribe(channel).await?;
            Ok(feed)
        };
        timeout(self.connect_timeout, subscribing).await.map_err(|_| silent())?
    }
}

fn client(url: &str) -> RedisResult<Client> {
    let info = url.into_connection_info()?;
    // The driver's name is worth no right more.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Client::open(info.set_redis_settings(settings))
}

pub(super) fn silent() -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer in time"))
}
