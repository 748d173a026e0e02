//! The broker and the database that a command works with.

use std::fmt;

use anyhow::Context as _;
use tramline_event_hub::Hub;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use tramline_event_hub::dead_letters::{self, DeadLetters, Tables};

use crate::args::Common;

/// The call was wrong, not the world.
#[derive(Debug)]
pub(crate) struct WrongCall(pub(crate) String);

/// A hub that has reached its broker, publishing to this exchange, and changing nothing by itself.
pub(crate) async fn hub(common: &Common, exchange: &str) -> anyhow::Result<Hub> {
    let Some(url) = &common.broker else {
        return Err(WrongCall("no broker: give --broker or RABBITMQ_URL".to_owned()).into());
    };
    let hub = open(common, url, exchange)?;
    // Nobody has a queue of this name; asking shows that somebody answers.
    hub.queue("tramline-events.hello").await.context("the broker does not answer")?;
    Ok(hub)
}

#[cfg(feature = "amqp")]
fn open(common: &Common, url: &str, exchange: &str) -> anyhow::Result<Hub> {
    let mut config = tramline_event_hub::AmqpConfig::default();
    "tramline-events".clone_into(&mut config.connection_name);
    exchange.clone_into(&mut config.hub.exchange);
    #[cfg(feature = "management")]
    if let Some(url) = &common.management {
        let parsed = tramline_event_hub::config::ManagementUrl::parse(url);
        let wrong = |error| WrongCall(format!("--management: {:#}", anyhow::Error::from(error)));
        config.management = Some(parsed.map_err(wrong)?);
    }
    #[cfg(not(feature = "management"))]
    let _ = common;
    Hub::amqp(url, config)
        .map_err(|error| WrongCall(format!("--broker: {:#}", anyhow::Error::from(error))).into())
}

#[cfg(not(feature = "amqp"))]
fn open(_: &Common, _: &str, _: &str) -> anyhow::Result<Hub> {
    Err(WrongCall("built without RabbitMQ (feature `amqp`)".to_owned()).into())
}

/// The dead letters of the database; its tables are made when `make` says so.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) async fn letters(common: &Common, make: Tables) -> anyhow::Result<DeadLetters> {
    let Some(url) = &common.database else {
        return Err(WrongCall("no database: give --database or DATABASE_URL".to_owned()).into());
    };
    match url.split_once(':').map(|(scheme, _)| scheme) {
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            Ok(dead_letters::postgres::connect(url, make).await.context("the database")?)
        }
        #[cfg(feature = "sqlite")]
        Some("sqlite") => Ok(dead_letters::sqlite::connect(url, make).await.context("the database")?),
        _ => Err(WrongCall("--database: this build has no such kind of database".to_owned()).into()),
    }
}

// === impl WrongCall ===

impl fmt::Display for WrongCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongCall {}
