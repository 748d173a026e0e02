//! Reading `definitions.json`: what a topology has words for, and a list of the rest.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::topology::compare::Item;
use crate::topology::policy::Policies;
use crate::topology::queue::{CLASSIC, DELIVERY_LIMIT, QUORUM};
use crate::topology::setting::{self, Setting, Settings};
use crate::topology::{
    AppliesTo, Binding, Destination, Difference, Exchange, ExchangeKind, Policy, Queue, QueueKind, Topology,
};

/// What a `definitions.json` says about one virtual host.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Imported {
    /// What a topology has words for.
    pub topology: Topology,
    /// What it has none for, kept out.
    pub unknown: Vec<Unknown>,
}

/// Something that was kept out.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Unknown {
    /// Whose it is: the thing itself was kept out, or a part of it.
    pub item: Option<Item>,
    /// What it is, for people.
    pub text: String,
}

/// What a broker's management shows.
#[cfg(feature = "management")]
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) imported: Imported,
    /// Each queue's arguments as they are.
    pub(crate) arguments: std::collections::BTreeMap<String, Value>,
}

/// A file, or the answer of a broker's management for one virtual host.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Definitions {
    pub(crate) rabbitmq_version: String,
    vhosts: Vec<Vhost>,
    pub(crate) exchanges: Vec<ExchangeEntry>,
    pub(crate) queues: Vec<QueueEntry>,
    pub(crate) bindings: Vec<BindingEntry>,
    pub(crate) policies: Vec<PolicyEntry>,
    /// In a management's answer only: they lower the numbers of whatever they match.
    #[serde(skip)]
    pub(crate) operator_policies: Vec<PolicyEntry>,
    /// Users, permissions, parameters and what else a broker writes.
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Vhost {
    name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ExchangeEntry {
    name: String,
    vhost: Option<String>,
    r#type: String,
    #[serde(default = "yes")]
    durable: bool,
    #[serde(default)]
    auto_delete: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default)]
    arguments: Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct QueueEntry {
    pub(crate) name: String,
    vhost: Option<String>,
    #[serde(default = "yes")]
    durable: bool,
    #[serde(default)]
    auto_delete: bool,
    /// In a management's answer only.
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    pub(crate) arguments: Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct BindingEntry {
    source: String,
    vhost: Option<String>,
    destination: String,
    destination_type: String,
    routing_key: String,
    #[serde(default)]
    arguments: Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PolicyEntry {
    name: String,
    vhost: Option<String>,
    pattern: String,
    #[serde(rename = "apply-to", default = "all")]
    apply_to: String,
    #[serde(default)]
    priority: i64,
    #[serde(default)]
    definition: Value,
}

pub(super) fn import(text: &str, vhost: &str) -> Result<Imported, Error> {
    let bad = |what: String| Error::new(ErrorKind::Config, what);
    let definitions: Definitions =
        serde_json::from_str(text).map_err(|e| bad("no definitions.json".to_owned()).with_source(e))?;
    let there: Vec<_> = definitions.vhosts.iter().map(|vhost| vhost.name.as_str()).collect();
    if !there.is_empty() && !there.contains(&vhost) {
        return Err(bad(format!("no virtual host {vhost:?} among {there:?}")));
    }
    Ok(definitions.read(vhost))
}

// === impl Definitions ===

impl Definitions {
    #[cfg(feature = "management")]
    pub(crate) fn found(self, vhost: &str) -> Found {
        let arguments =
            self.queues.iter().map(|queue| (queue.name.clone(), queue.arguments.clone())).collect();
        Found { arguments, imported: self.read(vhost) }
    }

    pub(crate) fn read(self, vhost: &str) -> Imported {
        let mut imported = Imported::default();
        // The answer for one virtual host does not repeat its name.
        let here = |of: &Option<String>| of.as_deref().is_none_or(|of| of == vhost);
        for (name, value) in &self.other {
            if let Value::Array(list) = value
                && !list.is_empty()
            {
                imported.kept_out(None, format!("{name}: {}", list.len()));
            }
        }
        for policy in self.policies.into_iter().filter(|policy| here(&policy.vhost)) {
            let policy = imported.policy(policy);
            imported.topology.policies.extend(policy);
        }
        let mut operator = Topology::new();
        for policy in self.operator_policies.into_iter().filter(|policy| here(&policy.vhost)) {
            operator.policies.extend(imported.policy(policy));
        }
        for exchange in self.exchanges.into_iter().filter(|exchange| here(&exchange.vhost)) {
            imported.exchange(exchange);
        }
        let major = self.rabbitmq_version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        // RabbitMQ 4 sets a limit where nobody did.
        let limited = major.is_some_and(|major| major >= 4);
        for queue in self.queues.into_iter().filter(|queue| here(&queue.vhost)) {
            imported.queue(queue, limited, &operator);
        }
        for binding in self.bindings.into_iter().filter(|binding| here(&binding.vhost)) {
            imported.binding(binding);
        }
        imported
    }
}

// === impl Imported ===

impl Imported {
    /// How it differs from what is `wanted`, and what of it nobody can judge.
    #[must_use]
    pub fn against(&self, wanted: &Topology) -> Difference {
        let mut difference = wanted.compare(&self.topology);
        difference.kept_out(&self.unknown);
        difference
    }

    fn kept_out(&mut self, item: Option<Item>, text: impl Into<String>) {
        self.unknown.push(Unknown { item, text: text.into() });
    }

    fn exchange(&mut self, entry: ExchangeEntry) {
        if entry.name.is_empty() || entry.name.starts_with("amq.") {
            return; // The broker's own.
        }
        let item = Item::exchange(&entry.name);
        let kind = match entry.r#type.as_str() {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            other => return self.kept_out(Some(item), format!("type {other}")),
        };
        if let Some(why) = passing(entry.durable, entry.auto_delete, entry.internal) {
            return self.kept_out(Some(item), why);
        }
        let mut exchange = Exchange { name: entry.name, kind, alternate: None };
        for (name, value) in self.scalars(&item, entry.arguments) {
            match (name.as_str(), value) {
                ("alternate-exchange", Setting::Text(to)) => exchange.alternate = Some(to),
                (name, value) => self.kept_out(Some(item.clone()), format!("argument {name}: {value}")),
            }
        }
        self.topology.exchanges.push(exchange);
    }

    fn queue(&mut self, entry: QueueEntry, limited: bool, operator: &Topology) {
        let item = Item::queue(&entry.name);
        if let Some(why) = passing(entry.durable, entry.auto_delete, entry.exclusive) {
            return self.kept_out(Some(item), why);
        }
        let mut arguments = Settings::new();
        for (name, value) in self.scalars(&item, entry.arguments) {
            match name.strip_prefix("x-") {
                Some(name) => {
                    arguments.insert(name.to_owned(), value);
                }
                None => self.kept_out(Some(item.clone()), format!("argument {name}: {value}")),
            }
        }
        let kind = match arguments.remove("queue-type") {
            None => QueueKind::Classic,
            Some(Setting::Text(kind)) if kind == CLASSIC => QueueKind::Classic,
            Some(Setting::Text(kind)) if kind == QUORUM => QueueKind::Quorum,
            Some(other) => return self.kept_out(Some(item), format!("type {other}")),
        };
        let mut queue = Queue::bare(entry.name, kind);
        queue.single_active_consumer =
            arguments.remove("single-active-consumer") == Some(Setting::Flag(true));
        for (name, value) in queue.set(&arguments) {
            self.kept_out(Some(item.clone()), format!("argument x-{name}: {value}"));
        }
        let policies = Policies::of(&self.topology);
        let said = arguments.contains_key(LIMIT)
            || policies.for_queue(&queue).is_some_and(|policy| policy.definition.contains_key(LIMIT));
        if limited && kind == QueueKind::Quorum && !said {
            queue.delivery_limit = Some(DELIVERY_LIMIT);
        }
        if let Some(lower) = Policies::of(operator).for_queue(&queue) {
            queue.set(&setting::add_up(&queue.settings(), &lower.definition, kind == QueueKind::Quorum));
        }
        self.topology.queues.push(queue);
    }

    fn binding(&mut self, entry: BindingEntry) {
        if entry.source.is_empty() {
            return; // The default exchange leads into every queue by its name.
        }
        let destination = match entry.destination_type.as_str() {
            "exchange" => Destination::Exchange(entry.destination),
            _ => Destination::Queue(entry.destination),
        };
        let binding = Binding { source: entry.source, destination, key: entry.routing_key };
        match entry.arguments {
            Value::Object(arguments) if !arguments.is_empty() => {
                self.kept_out(Some(Item::binding(&binding)), "it has arguments");
            }
            _ => self.topology.bindings.push(binding),
        }
    }

    fn policy(&mut self, entry: PolicyEntry) -> Option<Policy> {
        let item = Item::policy(&entry.name);
        let Some(applies_to) = AppliesTo::parse(&entry.apply_to) else {
            self.kept_out(Some(item), format!("applies to {}", entry.apply_to));
            return None;
        };
        let definition = self.scalars(&item, entry.definition);
        let policy = Policy {
            name: entry.name,
            pattern: entry.pattern,
            applies_to,
            priority: entry.priority,
            definition,
        };
        if policy.regex().is_err() {
            self.kept_out(Some(item), format!("pattern {:?}", policy.pattern));
            return None;
        }
        Some(policy)
    }

    fn scalars(&mut self, item: &Item, value: Value) -> Settings {
        let Value::Object(object) = value else { return Settings::new() };
        let mut scalars = Settings::new();
        for (name, value) in object {
            match Setting::of(&value) {
                Some(setting) => {
                    scalars.insert(name, setting);
                }
                None => self.kept_out(Some(item.clone()), format!("{name}: {value}")),
            }
        }
        scalars
    }
}

/// Why something will not be there for ever.
fn passing(durable: bool, auto_delete: bool, odd: bool) -> Option<&'static str> {
    match (durable, auto_delete, odd) {
        (false, _, _) => Some("not durable"),
        (_, true, _) => Some("deletes itself"),
        (_, _, true) => Some("internal or exclusive"),
        _ => None,
    }
}

const LIMIT: &str = "delivery-limit";

fn yes() -> bool {
    true
}

fn all() -> String {
    "all".to_owned()
}
