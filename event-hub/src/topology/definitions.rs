//! `definitions.json`, and the arguments that AMQP declares with: one list for both.

use serde_json::{Map, Value, json};

use crate::topology::{Destination, Exchange, Queue, QueueKind, Topology};

pub(super) fn export(topology: &Topology, vhost: &str) -> String {
    let exchanges: Vec<_> = topology
        .exchanges
        .iter()
        .map(|e| {
            json!({
                "name": e.name, "vhost": vhost, "type": e.kind.as_str(), "durable": true,
                "auto_delete": false, "internal": false, "arguments": arguments(e.arguments()),
            })
        })
        .collect();
    let queues: Vec<_> = topology
        .queues
        .iter()
        .map(|q| {
            json!({
                "name": q.name, "vhost": vhost, "durable": true, "auto_delete": false,
                "arguments": arguments(q.arguments()),
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
    let all = json!({ "vhosts": [{ "name": vhost }], "exchanges": exchanges, "queues": queues, "bindings": bindings });
    format!("{all:#}\n")
}

/// One `x-…` argument.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Argument {
    Number(i64),
    Text(String),
}

impl Exchange {
    pub(crate) fn arguments(&self) -> Vec<(&'static str, Argument)> {
        let alternate = self.alternate.clone().map(|name| ("alternate-exchange", Argument::Text(name)));
        alternate.into_iter().collect()
    }
}

impl Queue {
    pub(crate) fn arguments(&self) -> Vec<(&'static str, Argument)> {
        let text = |value: &str| Argument::Text(value.to_owned());
        let mut all = Vec::new();
        let quorum = self.kind == QueueKind::Quorum;
        if quorum {
            all.push(("x-queue-type", text("quorum")));
        }
        if let Some(limit) = self.delivery_limit.filter(|_| quorum) {
            all.push(("x-delivery-limit", Argument::Number(limit.into())));
        }
        if let Some(target) = &self.dead_letter {
            all.push(("x-dead-letter-exchange", text(&target.exchange)));
            if let Some(key) = &target.key {
                all.push(("x-dead-letter-routing-key", text(key)));
            }
            if quorum {
                all.push(("x-dead-letter-strategy", text("at-least-once")));
            }
        }
        if quorum {
            all.push(("x-overflow", text("reject-publish")));
        }
        let millis =
            |d: std::time::Duration| Argument::Number(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        if let Some(ttl) = self.message_ttl {
            all.push(("x-message-ttl", millis(ttl)));
        }
        if let Some(expires) = self.expires {
            all.push(("x-expires", millis(expires)));
        }
        if let Some(max) = self.max_length {
            all.push(("x-max-length", Argument::Number(i64::try_from(max).unwrap_or(i64::MAX))));
        }
        all
    }
}

fn arguments(all: Vec<(&'static str, Argument)>) -> Value {
    let object: Map<String, Value> = all
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                Argument::Number(n) => Value::from(n),
                Argument::Text(t) => Value::from(t),
            };
            (name.to_owned(), value)
        })
        .collect();
    Value::Object(object)
}
