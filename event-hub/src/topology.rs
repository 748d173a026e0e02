//! Exchanges, queues and bindings as a value: declared by a hub, exported for a broker.

mod compare;
pub(crate) mod definitions;
pub(crate) mod import;
pub(crate) mod letters;
mod policy;
pub(crate) mod queue;
pub(crate) mod setting;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::error::{Error, ErrorKind};

pub use crate::topology::compare::{Change, Difference, Item, SettingChange};
pub use crate::topology::import::{Imported, Unknown};
#[cfg(feature = "management")]
pub(crate) use crate::topology::policy::Policies;
pub use crate::topology::policy::{AppliesTo, Policy};
pub use crate::topology::queue::{DeadLetter, DeadLetterStrategy, Overflow, Queue, QueueKind};
pub use crate::topology::setting::Setting;

/// What must exist at the broker. Declaring it twice changes nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Topology {
    /// Exchanges, all durable.
    pub exchanges: Vec<Exchange>,
    /// Queues, all durable.
    pub queues: Vec<Queue>,
    /// What flows from exchanges into queues and other exchanges.
    pub bindings: Vec<Binding>,
    /// Settings for whatever bears a matching name.
    pub policies: Vec<Policy>,
}

/// An exchange.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Where it sends what no binding takes.
    pub alternate: Option<String>,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ExchangeKind {
    /// To each binding whose key is the message's.
    Direct,
    /// To each binding.
    Fanout,
    /// To each binding whose pattern matches the message's key, see [`topic`](crate::topic).
    Topic,
}

/// What flows from an exchange to a queue or to another exchange.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Binding {
    /// The exchange it flows from.
    pub source: String,
    /// Where it flows to.
    pub destination: Destination,
    /// Which keys.
    pub key: String,
}

/// Where a binding leads.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Destination {
    /// To an exchange.
    Exchange(String),
    /// To a queue.
    Queue(String),
}

/// What a declaration found and did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Declared {
    /// Queues that were not there before.
    pub made: BTreeSet<String>,
    /// What exists with other settings, or was refused, and was left alone; the rest was made. And queues whose dead
    /// letters go to an exchange that is not there or, where all bindings are seen (the memory hub; with a management
    /// URL), that leads nowhere: they are made, and what dies in them stays with its consumer or is lost.
    pub conflicts: Vec<Conflict>,
    /// Queues that have their settings as arguments, though this hub would set them by policies: to change them they
    /// must be deleted and made again.
    pub frozen: BTreeSet<String>,
}

/// Something that exists with other settings, or cannot do what it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Conflict {
    /// The exchange, queue or binding.
    pub name: String,
    /// The broker's words.
    pub text: String,
}

// === impl Topology ===

impl Topology {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an exchange; one of the same name gives way.
    #[must_use]
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.exchanges.retain(|e| e.name != exchange.name);
        self.exchanges.push(exchange);
        self
    }

    /// Adds a queue; one of the same name gives way.
    #[must_use]
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.retain(|q| q.name != queue.name);
        self.queues.push(queue);
        self
    }

    /// Adds a binding, once.
    #[must_use]
    pub fn binding(mut self, binding: Binding) -> Self {
        if !self.bindings.contains(&binding) {
            self.bindings.push(binding);
        }
        self
    }

    /// Adds a policy; one of the same name gives way.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policies.retain(|p| p.name != policy.name);
        self.policies.push(policy);
        self
    }

    /// Adds all of another topology.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self = other.exchanges.into_iter().fold(self, Self::exchange);
        self = other.queues.into_iter().fold(self, Self::queue);
        self = other.policies.into_iter().fold(self, Self::policy);
        other.bindings.into_iter().fold(self, Self::binding)
    }

    /// Adds the delay queues that retries go through, and the way back into each quorum queue.
    ///
    /// Every hub declares them by itself; an export for a broker whose users may not declare needs them.
    #[must_use]
    pub fn with_delays(self) -> Self {
        crate::delay::add_to(self)
    }

    /// A queue by its name.
    #[must_use]
    pub fn find_queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// Refuses names that AMQP or the delays' keys have no room for, or that would be patterns there.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let exchanges = self.exchanges.iter().map(|exchange| &exchange.name);
        let names = exchanges.chain(self.queues.iter().map(|queue| &queue.name));
        if let Some(name) = names.into_iter().find(|name| name.is_empty() || name.len() > NAME_BYTES) {
            return Err(Error::new(ErrorKind::Config, format!("{name:?} must have 1 to {NAME_BYTES} bytes")));
        }
        // The last part of a key that leads back from the delays: as a pattern it would take other queues' retries too.
        let wild = |name: &str| name.split('.').any(|word| word == "*" || word == "#");
        if let Some(queue) = self.queues.iter().find(|queue| !queue.is_feed() && wild(&queue.name)) {
            let text = format!("queue {:?} has a word that is a pattern", queue.name);
            return Err(Error::new(ErrorKind::Config, text));
        }
        if let Some(binding) = self.bindings.iter().find(|binding| binding.key.len() > 255) {
            return Err(Error::new(ErrorKind::Config, format!("key {:?} is too long", binding.key)));
        }
        self.policies.iter().try_for_each(|policy| policy.regex().map(drop))
    }

    /// The topology as RabbitMQ's `definitions.json`, for the virtual host `vhost`.
    #[must_use]
    pub fn to_definitions_json(&self, vhost: &str) -> String {
        definitions::export(self, vhost)
    }

    /// Reads what concerns the virtual host `vhost` out of a `definitions.json`, our own or a broker's.
    ///
    /// What a topology has no word for (streams, headers exchanges, users, …) is kept out, and listed in
    /// [`Imported::unknown`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the text is no such file, or has other virtual hosts only.
    pub fn from_definitions_json(text: &str, vhost: &str) -> Result<Imported, Error> {
        import::import(text, vhost)
    }
}

// === impl Exchange ===

impl Exchange {
    /// A topic exchange.
    pub fn topic(name: impl Into<String>) -> Self {
        Self::new(name, ExchangeKind::Topic)
    }

    /// A direct exchange.
    pub fn direct(name: impl Into<String>) -> Self {
        Self::new(name, ExchangeKind::Direct)
    }

    /// A fanout exchange.
    pub fn fanout(name: impl Into<String>) -> Self {
        Self::new(name, ExchangeKind::Fanout)
    }

    /// Sends what no binding takes to another exchange.
    #[must_use]
    pub fn with_alternate(mut self, exchange: impl Into<String>) -> Self {
        self.alternate = Some(exchange.into());
        self
    }

    fn new(name: impl Into<String>, kind: ExchangeKind) -> Self {
        Self { name: name.into(), kind, alternate: None }
    }
}

// === impl ExchangeKind ===

impl ExchangeKind {
    /// The broker's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        }
    }
}

// === impl Binding ===

impl Binding {
    /// From an exchange into a queue.
    pub fn new(source: impl Into<String>, key: impl Into<String>, queue: impl Into<String>) -> Self {
        Self { source: source.into(), key: key.into(), destination: Destination::Queue(queue.into()) }
    }

    /// From an exchange into another.
    pub fn to_exchange(
        source: impl Into<String>,
        key: impl Into<String>,
        exchange: impl Into<String>,
    ) -> Self {
        Self { source: source.into(), key: key.into(), destination: Destination::Exchange(exchange.into()) }
    }
}

// === impl Declared ===

impl Declared {
    /// Whether this declaration made the queue, so that nothing can have waited in it.
    #[must_use]
    pub fn made(&self, queue: &str) -> bool {
        self.made.contains(queue)
    }
}

/// Of the queues that were made, takes those that are in `own`: the rest is told to whom it belongs.
pub(crate) fn claim(made: &mut BTreeSet<String>, own: &Topology) -> BTreeSet<String> {
    made.extract_if(.., |name| own.find_queue(name).is_some()).collect()
}

/// An AMQP name has 255 bytes at most, and a delayed message's key holds the name and the delay's bits.
const NAME_BYTES: usize = 200;

#[cfg(test)]
mod tests;
