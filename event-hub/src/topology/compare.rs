//! What one topology has and another has not.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::topology::import::Unknown;
use crate::topology::queue::UNLIMITED;
use crate::topology::setting::Settings;
use crate::topology::{Binding, Destination, Exchange, Policy, Queue, Setting, Topology};

/// How what was found differs from what was wanted. Printed one line each; serialized for a tool.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Wanted, and not found.
    pub missing: Vec<Item>,
    /// Found, and not wanted. On a broker others may need it, and each process's own feed is here too.
    pub surplus: Vec<Item>,
    /// Found with other settings.
    pub different: Vec<Change>,
    /// What could not be seen or judged, for people.
    pub unseen: Vec<String>,
}

/// Something that was found with other settings.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// What it is.
    pub item: Item,
    /// The settings that differ.
    pub settings: Vec<SettingChange>,
}

/// One setting that differs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SettingChange {
    /// Its name, as in a policy: an argument's without `x-`.
    pub name: String,
    /// What was wanted; none means that it must not be set.
    pub wanted: Option<Setting>,
    /// What was found.
    pub found: Option<Setting>,
}

/// One part of a topology.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "item", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Item {
    /// An exchange.
    #[non_exhaustive]
    Exchange {
        /// Its name.
        name: String,
    },
    /// A queue.
    #[non_exhaustive]
    Queue {
        /// Its name.
        name: String,
    },
    /// A binding.
    #[non_exhaustive]
    Binding {
        /// The exchange it flows from.
        source: String,
        /// Where it flows to.
        destination: Destination,
        /// Which keys.
        key: String,
    },
    /// A policy.
    #[non_exhaustive]
    Policy {
        /// Its name.
        name: String,
    },
}

// === impl Topology ===

impl Topology {
    /// How `found` differs from this topology, which is what is wanted.
    ///
    /// Queues and exchanges are compared by what is in force: it is the same whether an argument or a policy says
    /// it. So the policies that a hub has made for single queues are no surplus.
    #[must_use]
    pub fn compare(&self, found: &Self) -> Difference {
        let mut difference = Difference::default();
        difference.add(&self.resolved().parts(), &found.resolved().parts());
        let known: Vec<_> =
            self.queues.iter().chain(&found.queues).map(|queue| queue.name.as_str()).collect();
        let theirs: BTreeMap<_, _> = found
            .policies
            .iter()
            .filter(|policy| !known.iter().any(|queue| policy.is_own(queue)))
            .map(Policy::part)
            .collect();
        difference.add(&self.policies.iter().map(Policy::part).collect(), &theirs);
        difference
    }

    fn parts(&self) -> BTreeMap<Item, Settings> {
        let exchanges = self.exchanges.iter().map(Exchange::part);
        let queues = self.queues.iter().map(Queue::part);
        let bindings = self.bindings.iter().map(|binding| (Item::binding(binding), Settings::new()));
        exchanges.chain(queues).chain(bindings).collect()
    }
}

// === impl Difference ===

impl Difference {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.surplus.is_empty() && self.unseen.is_empty() && self.holds()
    }

    /// Whether all that is wanted was found as it was wanted. There may be more, and what nobody could see.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty()
    }

    fn add(&mut self, wanted: &BTreeMap<Item, Settings>, found: &BTreeMap<Item, Settings>) {
        for (item, settings) in wanted {
            let Some(there) = found.get(item) else {
                self.missing.push(item.clone());
                continue;
            };
            let mut names: Vec<_> = settings.keys().chain(there.keys()).collect();
            names.sort_unstable();
            names.dedup();
            let settings: Vec<_> = names
                .into_iter()
                .map(|name| SettingChange {
                    name: name.clone(),
                    wanted: settings.get(name).cloned(),
                    found: there.get(name).cloned(),
                })
                .filter(|change| change.wanted != change.found)
                .collect();
            if !settings.is_empty() {
                self.different.push(Change { item: item.clone(), settings });
            }
        }
        self.surplus.extend(found.keys().filter(|item| !wanted.contains_key(item)).cloned());
    }

    /// What an import kept out: if something of that name is wanted, it is there, but as something else.
    pub(crate) fn kept_out(&mut self, unknown: &[Unknown]) {
        for Unknown { item, text } in unknown {
            let Some(item) = item else {
                self.unseen.push(text.clone());
                continue;
            };
            if let Some(at) = self.missing.iter().position(|missing| missing == item) {
                self.missing.remove(at);
                let found = Some(Setting::Text(text.clone()));
                let settings = vec![SettingChange { name: "found as".to_owned(), wanted: None, found }];
                self.different.push(Change { item: item.clone(), settings });
            } else {
                self.unseen.push(format!("{item}: {text}"));
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no difference");
        }
        let missing = self.missing.iter().map(|item| format!("missing    {item}"));
        let different = self.different.iter().map(|change| format!("different  {change}"));
        let surplus = self.surplus.iter().map(|item| format!("surplus    {item}"));
        let unseen = self.unseen.iter().map(|what| format!("not seen   {what}"));
        let lines: Vec<_> = missing.chain(different).chain(surplus).chain(unseen).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.item)?;
        let settings: Vec<_> = self.settings.iter().map(SettingChange::to_string).collect();
        f.write_str(&settings.join(", "))
    }
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.wanted, &self.found) {
            (Some(wanted), Some(found)) => write!(f, "{} is {found} instead of {wanted}", self.name),
            (Some(wanted), None) => write!(f, "{} is not set instead of {wanted}", self.name),
            (None, Some(found)) => write!(f, "{} is {found}, and was not asked for", self.name),
            (None, None) => f.write_str(&self.name),
        }
    }
}

// === impl Item ===

impl Item {
    pub(crate) fn exchange(name: &str) -> Self {
        Self::Exchange { name: name.to_owned() }
    }

    pub(crate) fn queue(name: &str) -> Self {
        Self::Queue { name: name.to_owned() }
    }

    pub(crate) fn policy(name: &str) -> Self {
        Self::Policy { name: name.to_owned() }
    }

    pub(crate) fn binding(binding: &Binding) -> Self {
        let Binding { source, destination, key } = binding.clone();
        Self::Binding { source, destination, key }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange { name } => write!(f, "exchange {name}"),
            Self::Queue { name } => write!(f, "queue {name}"),
            Self::Policy { name } => write!(f, "policy {name}"),
            Self::Binding { source, destination, key } => {
                let (kind, name) = match destination {
                    Destination::Exchange(name) => ("exchange", name),
                    Destination::Queue(name) => ("queue", name),
                };
                write!(f, "binding of {kind} {name} to {source} by {key:?}")
            }
        }
    }
}

// === parts ===

impl Exchange {
    fn part(&self) -> (Item, Settings) {
        let mut settings = self.arguments();
        settings.insert("type".to_owned(), self.kind.as_str().into());
        (Item::exchange(&self.name), settings)
    }
}

impl Queue {
    fn part(&self) -> (Item, Settings) {
        let mut settings = self.frozen();
        settings.extend(self.settings());
        settings.retain(|_, value| *value != Setting::Number(UNLIMITED));
        (Item::queue(&self.name), settings)
    }
}

impl Policy {
    fn part(&self) -> (Item, Settings) {
        let mut settings = self.definition.clone();
        settings.insert("pattern".to_owned(), Setting::Text(self.pattern.clone()));
        settings.insert("apply-to".to_owned(), self.applies_to.as_str().into());
        settings.insert("priority".to_owned(), Setting::Number(self.priority));
        (Item::policy(&self.name), settings)
    }
}
