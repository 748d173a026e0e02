//! Opening a feed: its queue made or found, and a name of its own when another has it.

use std::sync::atomic::Ordering;

use lapin::Connection;
use lapin::options::BasicConsumeOptions;
use uuid::Uuid;

use crate::amqp::declare::{bind, declare_queue, find};
use crate::amqp::failure;
use crate::amqp::subscriber::{Owner, Seat};
use crate::error::{Error, ErrorKind};
use crate::feed::{Feed, Place};
use crate::topology::{Binding, Queue};

/// How often we come back to a name that was ours: after a lost connection the broker may for a while hold
/// our own old consumer for alive.
const PATIENT: u32 = 4;

/// How many names are tried before the pause that follows any failure.
const NAMES: usize = 3;

impl Owner {
    pub(super) async fn open_feed(
        &mut self,
        connection: &Connection,
        feed: &Feed,
        exchange: &str,
    ) -> Result<(Seat, Place), Error> {
        for _ in 0..NAMES {
            match self.try_feed(connection, feed, exchange).await {
                Err(error) if is_taken(&error) => {
                    let was_ours = self.state.generation.load(Ordering::Acquire) > 1;
                    self.refused += 1;
                    if was_ours && self.refused < PATIENT && error.kind() == ErrorKind::InUse {
                        return Err(error);
                    }
                    let fresh = format!("{}.{}", feed.name, &Uuid::new_v4().simple().to_string()[..8]);
                    tracing::warn!(queue = self.queue, fresh, "feed's name cannot be had: another is taken");
                    self.queue = fresh;
                }
                result => return result,
            }
        }
        Err(Error::new(ErrorKind::Broker, "no name could be had for the feed"))
    }

    async fn try_feed(
        &mut self,
        connection: &Connection,
        feed: &Feed,
        exchange: &str,
    ) -> Result<(Seat, Place), Error> {
        let name = self.queue.clone();
        let failed = |error| failure::error(error, &name);
        let found = find(connection, &self.queue).await.map_err(failed)?;
        if found.is_some_and(|(_, consumers)| consumers > 0) {
            return Err(Error::new(ErrorKind::InUse, &self.queue));
        }
        let channel = connection.create_channel().await.map_err(failed)?;
        let queue = Queue::feed(&self.queue, feed.expires, feed.max_length);
        let declared = declare_queue(&channel, &queue).await.map_err(failed)?;
        if found.is_none() {
            self.made = Some(name.clone());
        }
        for key in &feed.keys {
            // A 404 here is the exchange's, and no reason for another name.
            let bound = bind(&channel, &Binding::new(exchange, key, &self.queue)).await;
            bound.map_err(|error| Error::new(ErrorKind::Broker, "binding the feed").with_source(error))?;
        }
        let full = declared.message_count() as usize >= feed.max_length;
        channel.close(200, "done".into()).await.map_err(failed)?;
        let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let seat = self.sit(connection, &self.queue, options).await?;
        let made = self.made.take().is_some_and(|made| made == self.queue);
        let queue = self.queue.clone();
        let place = match (made, full) {
            (true, _) => Place::Made { queue },
            (false, true) => Place::Full { queue },
            (false, false) => Place::Kept { queue },
        };
        Ok((seat, place))
    }
}

/// In use, declared otherwise, or on a node that is away: all mean that this name is not for us.
fn is_taken(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::InUse | ErrorKind::UnknownQueue)
}
