//! Policies: settings that the broker applies to whatever bears a matching name.

use std::collections::BTreeMap;

use regex::Regex;

use crate::error::{Error, ErrorKind};
use crate::topology::setting::{self, Settings};
use crate::topology::{Exchange, Queue, QueueKind, Setting, Topology};

/// Settings for every queue or exchange whose name matches. Of several that match, the broker obeys the one of
/// the highest priority, and that alone.
///
/// AMQP cannot set policies. A hub without a management URL, and the memory hub, declare what they come to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// Its name, one of a kind in the virtual host.
    pub name: String,
    /// A regular expression; without `^` and `$` a part of the name is enough.
    pub pattern: String,
    /// What it may apply to.
    pub applies_to: AppliesTo,
    /// Which one wins. Default 0, the broker's own.
    pub priority: i64,
    /// The settings: `delivery-limit`, `dead-letter-exchange`, `dead-letter-routing-key`, `dead-letter-strategy`,
    /// `overflow`, `message-ttl` and `expires` in milliseconds, `max-length`, `alternate-exchange`.
    pub definition: BTreeMap<String, Setting>,
}

/// What a policy may apply to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AppliesTo {
    /// Queues and exchanges.
    All,
    /// Classic queues; RabbitMQ 3.12 or newer.
    ClassicQueues,
    /// Exchanges.
    Exchanges,
    /// Queues of every kind.
    Queues,
    /// Quorum queues; RabbitMQ 3.12 or newer.
    QuorumQueues,
}

// === impl Policy ===

impl Policy {
    /// A policy for queues, without settings yet.
    pub fn queues(name: impl Into<String>, pattern: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            pattern: pattern.into(),
            applies_to: AppliesTo::Queues,
            priority: 0,
            definition: BTreeMap::new(),
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Setting>) -> Self {
        self.definition.insert(name.into(), value.into());
        self
    }

    /// Sets which one wins.
    #[must_use]
    pub fn with_priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }

    /// The one that a hub with a management makes for a queue; `above` every policy of its topology.
    #[cfg(feature = "management")]
    pub(crate) fn own(queue: &str, definition: Settings, above: i64) -> Self {
        let pattern = format!("^{}$", regex::escape(queue));
        let priority = OWN_PRIORITY.max(above.saturating_add(1));
        Self { definition, priority, ..Self::queues(format!("{OWN_PREFIX}{queue}"), pattern) }
    }

    /// Whether a hub has made it for this queue.
    pub(crate) fn is_own(&self, queue: &str) -> bool {
        self.name.strip_prefix(OWN_PREFIX) == Some(queue)
    }

    pub(crate) fn regex(&self) -> Result<Regex, Error> {
        Regex::new(&self.pattern).map_err(|error| {
            let what = format!("the pattern of policy {:?}", self.name);
            Error::new(ErrorKind::Config, what).with_source(error)
        })
    }
}

// === impl AppliesTo ===

impl AppliesTo {
    /// The broker's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::ClassicQueues => "classic_queues",
            Self::Exchanges => "exchanges",
            Self::Queues => "queues",
            Self::QuorumQueues => "quorum_queues",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::All, Self::ClassicQueues, Self::Exchanges, Self::Queues, Self::QuorumQueues]
            .into_iter()
            .find(|known| known.as_str() == word)
    }

    fn queues_of(self, kind: QueueKind) -> bool {
        match self {
            Self::All | Self::Queues => true,
            Self::Exchanges => false,
            Self::ClassicQueues => kind == QueueKind::Classic,
            Self::QuorumQueues => kind == QueueKind::Quorum,
        }
    }

    fn exchanges(self) -> bool {
        matches!(self, Self::All | Self::Exchanges)
    }
}

// === impl Topology ===

/// A topology's policies, ready to be asked.
pub(crate) struct Policies<'a>(Vec<(Regex, &'a Policy)>);

impl<'a> Policies<'a> {
    /// Those whose pattern cannot be read apply to nothing; [`Topology::check`] and the import refuse them.
    pub(crate) fn of(topology: &'a Topology) -> Self {
        Self(topology.policies.iter().filter_map(|policy| Some((policy.regex().ok()?, policy))).collect())
    }

    pub(crate) fn for_queue(&self, queue: &Queue) -> Option<&'a Policy> {
        self.best(&queue.name, |applies_to| applies_to.queues_of(queue.kind))
    }

    pub(crate) fn for_exchange(&self, exchange: &Exchange) -> Option<&'a Policy> {
        self.best(&exchange.name, AppliesTo::exchanges)
    }

    fn best(&self, name: &str, applies: impl Fn(AppliesTo) -> bool) -> Option<&'a Policy> {
        let mut best: Option<&Policy> = None;
        for (regex, policy) in &self.0 {
            let better = best.is_none_or(|best| policy.priority > best.priority);
            if better && applies(policy.applies_to) && regex.is_match(name) {
                best = Some(policy);
            }
        }
        best
    }
}

impl Topology {
    /// The same without policies: each queue and exchange has what its arguments and its policy come to.
    #[must_use]
    pub fn resolved(&self) -> Self {
        if self.policies.is_empty() {
            return self.clone();
        }
        let policies = Policies::of(self);
        let mut resolved = self.clone();
        resolved.policies.clear();
        for queue in &mut resolved.queues {
            if let Some(policy) = policies.for_queue(queue) {
                let quorum = queue.kind == QueueKind::Quorum;
                let settings = setting::add_up(&queue.settings(), &policy.definition, quorum);
                queue.set(&settings);
            }
        }
        for exchange in &mut resolved.exchanges {
            if let (None, Some(policy)) = (&exchange.alternate, policies.for_exchange(exchange)) {
                exchange.alternate = text(&policy.definition, "alternate-exchange");
            }
        }
        resolved
    }
}

pub(crate) fn text(settings: &Settings, name: &str) -> Option<String> {
    match settings.get(name) {
        Some(Setting::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// What the names of a hub's own policies start with.
const OWN_PREFIX: &str = "tramline:";

/// Above 0, which the catch-all policies of operators usually have: with one of those in force a queue would lose its
/// dead letters. Whoever means to overrule a hub still can, and the hub says so.
#[cfg(feature = "management")]
const OWN_PRIORITY: i64 = 10;
