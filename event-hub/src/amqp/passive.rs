//! What AMQP alone can see of a topology: whether exchanges and queues are there.

use lapin::Connection;
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use tokio::time::timeout;

use crate::amqp::declare::{find, short};
use crate::amqp::{Client, PATIENCE, failure};
use crate::error::{Error, ErrorKind};
use crate::topology::{Difference, Exchange, Item, Topology};

pub(super) async fn compare(connection: &Connection, wanted: &Topology) -> Result<Difference, Error> {
    let mut difference = Difference::default();
    for exchange in &wanted.exchanges {
        match is_there(connection, exchange).await {
            Ok(true) => {}
            Ok(false) => difference.missing.push(Item::exchange(&exchange.name)),
            Err(error) => difference.refused(&Item::exchange(&exchange.name), error)?,
        }
    }
    for queue in &wanted.queues {
        match find(connection, &queue.name).await {
            Ok(Some(_)) => {}
            Ok(None) => difference.missing.push(Item::queue(&queue.name)),
            Err(error) => difference.refused(&Item::queue(&queue.name), error)?,
        }
    }
    let blind = [
        "how exchanges and queues are set: it takes a management URL",
        "bindings and policies: it takes a management URL",
        "what is there beside it: it takes a management URL",
    ];
    difference.unseen.extend(blind.map(str::to_owned));
    Ok(difference)
}

impl Client {
    pub(crate) async fn has_exchange(&self, name: &str) -> Result<bool, Error> {
        let ask = async {
            let connection = self.0.publishing.connection().await?;
            let found = is_there(&connection, &Exchange::direct(name)).await;
            found.map_err(|error| failure::error(error, name))
        };
        timeout(PATIENCE, ask).await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, name)))
    }
}

/// Its kind does not matter.
pub(super) async fn is_there(connection: &Connection, exchange: &Exchange) -> Result<bool, lapin::Error> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let kind = lapin::ExchangeKind::Custom(exchange.kind.as_str().to_owned());
    match channel.exchange_declare(short(&exchange.name), kind, options, FieldTable::default()).await {
        Ok(()) => {}
        Err(error) => {
            return match failure::refusal(&error) {
                Some((404, _)) => Ok(false),
                _ => Err(error),
            };
        }
    }
    channel.close(200, "done".into()).await?;
    Ok(true)
}

impl Difference {
    /// A refusal is about this one; anything else is about the connection.
    fn refused(&mut self, item: &Item, error: lapin::Error) -> Result<(), Error> {
        match failure::refusal(&error) {
            Some((code, text)) => {
                self.unseen.push(format!("{item}: {code} {text}"));
                Ok(())
            }
            None => Err(Error::new(ErrorKind::Broker, item.to_string()).with_source(error)),
        }
    }
}
