//! From the buffer into the hub.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::handler::{BoxError, Panicked, chain};
use crate::hub::Hub;
use crate::publish::{PublishError, PublishErrorKind};
use crate::redis::PubSub;
use crate::redis::bridge::buffer::{Message, Receiver, Waiting};
use crate::redis::bridge::status::{End, Figures};
use crate::redis::mapping::Incoming;
use crate::redis::mark::Object;

/// Publishes what waits. At its end, however that comes, it tells what is left.
pub(super) struct Writer {
    redis: PubSub,
    hub: Hub,
    batch: usize,
    receiver: Receiver,
    figures: Figures,
    /// Taken from the buffer, and not ended yet.
    in_hand: u64,
}

/// What a message is.
enum Read {
    Event(Box<Event>),
    Ended(End),
}

/// The hub is shut down.
struct Closed;

/// How much of a refused body the log keeps.
const BEGINNING: usize = 256;

// === impl Writer ===

impl Writer {
    pub(super) fn new(redis: PubSub, hub: Hub, batch: usize, receiver: Receiver, figures: Figures) -> Self {
        Self { redis, hub, batch, receiver, figures, in_hand: 0 }
    }

    /// Publishes until the buffer has lost its sender and is empty, or the hub is shut down.
    pub(super) async fn run(&mut self) {
        let mut taken = Vec::with_capacity(self.batch);
        while self.receiver.recv_many(&mut taken, self.batch).await > 0 {
            self.in_hand += taken.len() as u64;
            let mut events = Vec::with_capacity(taken.len());
            for Waiting { message, .. } in &taken {
                match self.read(message) {
                    Read::Event(event) => events.push(*event),
                    Read::Ended(how) => self.end(how, 1),
                }
            }
            if self.send(events).await.is_err() {
                return;
            }
            // ORDER: their room in the buffer is free only now.
            taken.clear();
        }
    }

    /// Publishes together; what the hub does not take for now goes again, alone and before all that comes later.
    async fn send(&mut self, mut events: Vec<Event>) -> Result<(), Closed> {
        if events.is_empty() {
            return Ok(());
        }
        let answers = if events.len() == 1 {
            // In the event's own trace, where that of several is a span with links.
            vec![self.hub.publish(&events.remove(0)).await]
        } else {
            self.hub.publish_all(events).await
        };
        let confirmed = answers.iter().filter(|answer| answer.is_ok()).count();
        self.end(End::Published, confirmed as u64);
        for error in answers.into_iter().filter_map(Result::err) {
            self.again(error).await?;
        }
        Ok(())
    }

    /// Publishes one that was not taken until it is.
    async fn again(&mut self, mut error: PublishError) -> Result<(), Closed> {
        let config = self.redis.config();
        let mut backoff = Backoff::new(config.backoff_first, config.backoff_max);
        loop {
            match error.kind() {
                PublishErrorKind::Closed => return Err(Closed),
                // An exchange that is not there may come; a queue that wants it is nobody's promise.
                PublishErrorKind::Returned { code, .. } if *code != NOT_FOUND => {
                    let redis = &self.redis.config().name;
                    tracing::error!(redis, %error, "an event from Redis that no queue wants: lost");
                    self.end(End::Returned, 1);
                    return Ok(());
                }
                // It will not become smaller, and would hold up all that comes after it.
                PublishErrorKind::TooLarge { .. }
                | PublishErrorKind::Refused { code: PRECONDITION_FAILED, alone: true, .. } => {
                    let redis = &self.redis.config().name;
                    tracing::error!(redis, %error, "an event from Redis that is too large for the hub, or its broker: lost");
                    self.end(End::Returned, 1);
                    return Ok(());
                }
                _ => {}
            }
            let pause = backoff.next();
            let redis = &self.redis.config().name;
            tracing::warn!(redis, %error, ?pause, "the hub does not take an event from Redis: again");
            self.figures.failed(&error.to_string());
            sleep(pause).await;
            match self.hub.publish(error.event()).await {
                Ok(_) => {
                    self.end(End::Published, 1);
                    return Ok(());
                }
                Err(new) => error = new,
            }
        }
    }

    fn read(&self, message: &Message) -> Read {
        let read = catch_unwind(AssertUnwindSafe(|| self.map(message)));
        let refused = |error: BoxError| {
            let beginning = String::from_utf8_lossy(&message.body[..message.body.len().min(BEGINNING)]);
            tracing::error!(
                redis = self.redis.config().name,
                channel = message.channel,
                error = chain(&*error),
                bytes = message.body.len(),
                %beginning,
                "a message from Redis is no event: refused"
            );
            Read::Ended(End::Malformed)
        };
        match read {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => refused(error),
            Err(panic) => refused(Panicked::new(panic.as_ref()).into()),
        }
    }

    fn map(&self, message: &Message) -> Result<Read, BoxError> {
        let config = self.redis.config();
        let object = Object::parse(&message.body).ok();
        let via = object.as_ref().and_then(Object::via);
        if via.as_ref().is_some_and(|via| via.has(&config.name)) {
            tracing::debug!(redis = config.name, channel = message.channel, "came from here: left alone");
            return Ok(Read::Ended(End::Echo));
        }
        let without = via.as_ref().and(object.as_ref()).map(|object| object.marked(None));
        let incoming = Incoming {
            channel: &message.channel,
            pattern: message.pattern.as_deref(),
            body: without.as_ref().unwrap_or(&message.body),
        };
        let Some(mut event) = config.mapping.back(incoming)? else {
            return Ok(Read::Ended(End::PassedOver));
        };
        if event.event_type.len() > LONGEST_KEY {
            return Err(Error::new(ErrorKind::InvalidEvent, "a type of more than 255 bytes").into());
        }
        via.unwrap_or_default().and(&config.name).put_on(&mut event)?;
        Ok(Read::Event(Box::new(event)))
    }

    fn end(&mut self, how: End, messages: u64) {
        self.in_hand = self.in_hand.saturating_sub(messages);
        self.figures.ended(how, messages);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.receiver.close();
        while self.receiver.try_recv().is_ok() {
            self.in_hand += 1;
        }
        let left = self.in_hand;
        if left > 0 {
            let redis = &self.redis.config().name;
            tracing::error!(
                redis,
                left,
                "the bridge ends before the hub has confirmed these messages: they may be lost"
            );
            self.end(End::Abandoned, left);
        }
    }
}

/// What AMQP says of an exchange that is not there.
const NOT_FOUND: u16 = 404;

/// The broker's own limit of a message's size.
const PRECONDITION_FAILED: u16 = 406;

/// A routing key is an AMQP short string; a mapping may set the type after the event was made.
const LONGEST_KEY: usize = 255;
