//! `definitions.json`, and the arguments that AMQP declares with: one list for both.

use serde_json::{Value, json};

use crate::topology::setting::Settings;
use crate::topology::{Destination, Exchange, Queue, Setting, Topology};

pub(super) fn export(topology: &Topology, vhost: &str) -> String {
    let exchanges: Vec<_> = topology
        .exchanges
        .iter()
        .map(|e| {
            json!({
                "name": e.name, "vhost": vhost, "type": e.kind.as_str(), "durable": true,
                "auto_delete": false, "internal": false, "arguments": object(&e.arguments()),
            })
        })
        .collect();
    let queues: Vec<_> = topology
        .queues
        .iter()
        .map(|q| {
            json!({
                "name": q.name, "vhost": vhost, "durable": true, "auto_delete": false,
                "arguments": object(&q.arguments()),
            })
        })
        .collect();
    let bindings: Vec<_> = topology
        .bindings
        .iter()
        .map(|b| {
            let (kind, name) = match &b.destination {
                Destination::Exchange(name) => ("exchange", name),
                Destination::Queue(name) => ("queue", name),
            };
            json!({
                "source": b.source, "vhost": vhost, "destination": name, "destination_type": kind,
                "routing_key": b.key, "arguments": {},
            })
        })
        .collect();
    let policies: Vec<_> = topology
        .policies
        .iter()
        .map(|p| {
            json!({
                "name": p.name, "vhost": vhost, "pattern": p.pattern, "apply-to": p.applies_to.as_str(),
                "priority": p.priority, "definition": object(&p.definition),
            })
        })
        .collect();
    let all = json!({
        "vhosts": [{ "name": vhost }], "exchanges": exchanges, "queues": queues, "bindings": bindings,
        "policies": policies,
    });
    format!("{all:#}\n")
}

impl Exchange {
    pub(crate) fn arguments(&self) -> Settings {
        self.alternate
            .iter()
            .map(|name| ("alternate-exchange".to_owned(), Setting::Text(name.clone())))
            .collect()
    }
}

impl Queue {
    /// All that a declaration says: the frozen part, and what a policy could say too.
    pub(crate) fn arguments(&self) -> Settings {
        with_prefix(self.frozen().into_iter().chain(self.settings()))
    }

    /// What a declaration says when policies say the rest.
    #[cfg(feature = "amqp")]
    pub(crate) fn frozen_arguments(&self) -> Settings {
        with_prefix(self.frozen())
    }
}

fn with_prefix(settings: impl IntoIterator<Item = (String, Setting)>) -> Settings {
    settings.into_iter().map(|(name, value)| (format!("x-{name}"), value)).collect()
}

pub(crate) fn object(settings: &Settings) -> Value {
    Value::Object(settings.iter().map(|(name, value)| (name.clone(), value.to_value())).collect())
}
