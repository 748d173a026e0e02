//! Queues, and what the broker calls their settings.

use std::time::Duration;

use crate::topology::policy::text;
use crate::topology::setting::{Setting, Settings};

/// A queue.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// How the broker keeps it.
    pub kind: QueueKind,
    /// Whether only one of its consumers gets messages at a time, and the next one when that leaves.
    pub single_active_consumer: bool,
    /// How often the broker delivers one message before it becomes a dead letter; without end if none.
    ///
    /// With a limit and without [`dead_letter`](Self::dead_letter) the broker drops what was returned too often. A
    /// broker is always told, since RabbitMQ 4 takes 20 for granted: no limit is told as one that is never reached.
    pub delivery_limit: Option<u32>,
    /// Where rejected, expired and too often delivered messages go.
    pub dead_letter: Option<DeadLetter>,
    /// What becomes of a dead letter whose target is away or full. Default: a quorum queue keeps it.
    pub dead_letter_strategy: DeadLetterStrategy,
    /// How long a message may wait.
    pub message_ttl: Option<Duration>,
    /// How long the queue lives without a consumer.
    pub expires: Option<Duration>,
    /// How many messages it holds.
    pub max_length: Option<usize>,
    /// What happens when it is full. Default: a quorum queue refuses, a classic one drops.
    ///
    /// On the memory hub feeds drop, and all others make their publisher wait, whatever is said here.
    pub overflow: Overflow,
}

/// How the broker keeps a queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum QueueKind {
    /// On one node. When full, the oldest message goes.
    Classic,
    /// Replicated. When full, the publisher hears of it or waits.
    Quorum,
}

/// Where dead letters go.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The exchange.
    pub exchange: String,
    /// The key; the message's own without one.
    pub key: Option<String>,
}

/// What becomes of a dead letter whose target is away or full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DeadLetterStrategy {
    /// It stays until the target has confirmed it. Quorum queues only, and only when they refuse what is too much.
    AtLeastOnce,
    /// It is lost.
    AtMostOnce,
}

/// What happens to a message for a full queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest message makes room.
    DropHead,
    /// It is refused, and its publisher told.
    RejectPublish,
    /// As `RejectPublish`, and a copy becomes a dead letter. Classic queues only.
    RejectPublishDlx,
}

// === impl Queue ===

impl Queue {
    /// A replicated work queue. It keeps what it has however often it is returned, until it has
    /// [dead letters](Self::with_dead_letter) or a [limit](Self::with_delivery_limit).
    pub fn quorum(name: impl Into<String>) -> Self {
        Self::new(name, QueueKind::Quorum)
    }

    /// A queue on one node.
    ///
    /// It does not count its deliveries: an event that takes its process down each time comes again without end,
    /// where a quorum queue gives it up.
    pub fn classic(name: impl Into<String>) -> Self {
        Self::new(name, QueueKind::Classic)
    }

    /// One process's own view of the stream: it goes away when unused, and drops the oldest when full.
    pub fn feed(name: impl Into<String>, expires: Duration, max_length: usize) -> Self {
        Self { expires: Some(expires), max_length: Some(max_length), ..Self::new(name, QueueKind::Classic) }
    }

    /// Names where its dead letters go. A quorum queue without a delivery limit gets one, 20, so that a crash loop
    /// ends; for another, or for none after all, call [`with_delivery_limit`](Self::with_delivery_limit) after it.
    #[must_use]
    pub fn with_dead_letter(mut self, exchange: impl Into<String>, key: impl Into<String>) -> Self {
        if self.kind == QueueKind::Quorum {
            self.delivery_limit.get_or_insert(DELIVERY_LIMIT);
        }
        self.dead_letter = Some(DeadLetter { exchange: exchange.into(), key: Some(key.into()) });
        self
    }

    /// Sets how often the broker delivers one message: beyond it becomes a dead letter, or is dropped where the
    /// queue has none.
    #[must_use]
    pub fn with_delivery_limit(mut self, limit: Option<u32>) -> Self {
        self.delivery_limit = limit;
        self
    }

    /// Sets how long a message may wait.
    #[must_use]
    pub fn with_message_ttl(mut self, ttl: Duration) -> Self {
        self.message_ttl = Some(ttl);
        self
    }

    /// Sets how many messages it holds.
    #[must_use]
    pub fn with_max_length(mut self, max_length: usize) -> Self {
        self.max_length = Some(max_length);
        self
    }

    /// Gives messages to one consumer at a time.
    #[must_use]
    pub fn with_single_active_consumer(mut self) -> Self {
        self.single_active_consumer = true;
        self
    }

    /// Whether it is a feed: nobody's work, so that nothing waits for it and it may drop.
    #[must_use]
    pub fn is_feed(&self) -> bool {
        self.kind == QueueKind::Classic && self.expires.is_some()
    }

    /// As the broker has one that is declared with its name and kind alone.
    pub(crate) fn bare(name: impl Into<String>, kind: QueueKind) -> Self {
        let mut queue = Self::new(name, kind);
        queue.set(&Settings::new());
        queue
    }

    /// What only a declaration can say.
    pub(crate) fn frozen(&self) -> Settings {
        let mut all = Settings::new();
        // Always said: a broker's virtual host can have another default.
        let kind = match self.kind {
            QueueKind::Classic => CLASSIC,
            QueueKind::Quorum => QUORUM,
        };
        all.insert("queue-type".to_owned(), kind.into());
        if self.single_active_consumer {
            all.insert("single-active-consumer".to_owned(), Setting::Flag(true));
        }
        all
    }

    /// What a policy can say too.
    pub(crate) fn settings(&self) -> Settings {
        let mut all = Settings::new();
        let mut add = |name: &str, value: Setting| {
            all.insert(name.to_owned(), value);
        };
        let quorum = self.kind == QueueKind::Quorum;
        if quorum {
            add("delivery-limit", Setting::Number(self.delivery_limit.map_or(UNLIMITED, i64::from)));
        }
        if let Some(target) = &self.dead_letter {
            add("dead-letter-exchange", Setting::Text(target.exchange.clone()));
            if let Some(key) = &target.key {
                add("dead-letter-routing-key", Setting::Text(key.clone()));
            }
            if self.dead_letter_strategy == DeadLetterStrategy::AtLeastOnce {
                add("dead-letter-strategy", AT_LEAST_ONCE.into());
            }
        }
        match self.overflow {
            Overflow::DropHead => {}
            Overflow::RejectPublish => add("overflow", REJECT_PUBLISH.into()),
            Overflow::RejectPublishDlx => add("overflow", REJECT_PUBLISH_DLX.into()),
        }
        let millis = |d: Duration| Setting::Number(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        if let Some(ttl) = self.message_ttl {
            add("message-ttl", millis(ttl));
        }
        if let Some(expires) = self.expires {
            add("expires", millis(expires));
        }
        if let Some(max) = self.max_length {
            add("max-length", Setting::Number(i64::try_from(max).unwrap_or(i64::MAX)));
        }
        all
    }

    /// Takes these settings, and the broker's defaults for all others. Gives those that mean nothing here.
    pub(crate) fn set(&mut self, settings: &Settings) -> Settings {
        let number = |name: &str| match settings.get(name) {
            Some(Setting::Number(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        let millis = |name: &str| number(name).map(Duration::from_millis);
        // Negative is RabbitMQ 4's own word for no limit, and what does not fit is ours.
        self.delivery_limit = number("delivery-limit").and_then(|limit| limit.try_into().ok());
        self.dead_letter = text(settings, "dead-letter-exchange")
            .map(|exchange| DeadLetter { exchange, key: text(settings, "dead-letter-routing-key") });
        self.dead_letter_strategy = match text(settings, "dead-letter-strategy").as_deref() {
            Some(AT_LEAST_ONCE) => DeadLetterStrategy::AtLeastOnce,
            // Without dead letters there is no strategy: as in a queue made here.
            None if self.dead_letter.is_none() => DeadLetterStrategy::of(self.kind),
            _ => DeadLetterStrategy::AtMostOnce,
        };
        self.overflow = match text(settings, "overflow").as_deref() {
            Some(REJECT_PUBLISH) => Overflow::RejectPublish,
            Some(REJECT_PUBLISH_DLX) => Overflow::RejectPublishDlx,
            _ => Overflow::DropHead,
        };
        self.message_ttl = millis("message-ttl");
        self.expires = millis("expires");
        self.max_length = number("max-length").and_then(|max| max.try_into().ok());
        let mut unknown = settings.clone();
        unknown.retain(|name, value| match (name.as_str(), &*value) {
            ("delivery-limit", Setting::Number(_)) => false,
            ("message-ttl" | "expires" | "max-length", Setting::Number(number)) => *number < 0,
            ("dead-letter-exchange" | "dead-letter-routing-key", Setting::Text(_)) => false,
            ("dead-letter-strategy", Setting::Text(word)) => word != AT_LEAST_ONCE && word != "at-most-once",
            ("overflow", Setting::Text(word)) => {
                !["drop-head", REJECT_PUBLISH, REJECT_PUBLISH_DLX].contains(&word.as_str())
            }
            _ => true,
        });
        unknown
    }

    fn new(name: impl Into<String>, kind: QueueKind) -> Self {
        Self {
            name: name.into(),
            kind,
            single_active_consumer: false,
            delivery_limit: None,
            dead_letter: None,
            dead_letter_strategy: DeadLetterStrategy::of(kind),
            message_ttl: None,
            expires: None,
            max_length: None,
            overflow: match kind {
                QueueKind::Classic => Overflow::DropHead,
                QueueKind::Quorum => Overflow::RejectPublish,
            },
        }
    }
}

// === impl DeadLetterStrategy ===

impl DeadLetterStrategy {
    fn of(kind: QueueKind) -> Self {
        match kind {
            QueueKind::Classic => Self::AtMostOnce,
            QueueKind::Quorum => Self::AtLeastOnce,
        }
    }
}

/// RabbitMQ 4's default, set here so that older brokers stop crash loops too.
pub(crate) const DELIVERY_LIMIT: u32 = 20;

/// No limit, in a way that every broker takes: RabbitMQ 4 has -1 for it, which older ones refuse. At ten thousand
/// returns a second it is reached after three years.
pub(crate) const UNLIMITED: i64 = 1_000_000_000_000;

pub(crate) const CLASSIC: &str = "classic";
pub(crate) const QUORUM: &str = "quorum";
const AT_LEAST_ONCE: &str = "at-least-once";
const REJECT_PUBLISH: &str = "reject-publish";
const REJECT_PUBLISH_DLX: &str = "reject-publish-dlx";
