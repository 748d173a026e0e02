//! Whether dead letters have somewhere to go.

use std::collections::BTreeSet;

use crate::topic;
use crate::topology::{Conflict, DeadLetter, Destination, ExchangeKind, Topology};

/// A queue whose dead letters go nowhere, as far as is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stranded {
    pub(crate) queue: String,
    pub(crate) target: DeadLetter,
    /// Whether it is the exchange that is not known; else it is known, and nothing is bound to it that takes them.
    pub(crate) missing: bool,
}

// === impl Topology ===

impl Topology {
    /// Those of the queues in `of` whose dead letters go nowhere, if this is all that there is.
    ///
    /// The ladder of delays has its own end.
    pub(crate) fn stranded(&self, of: &Self) -> Vec<Stranded> {
        let queues = of.queues.iter().filter(|queue| !crate::delay::is_own(&queue.name));
        let targets = queues.filter_map(|queue| Some((&queue.name, queue.dead_letter.as_ref()?)));
        targets
            .filter(|(_, target)| !self.leads_into_a_queue(&target.exchange, target.key.as_deref()))
            .map(|(queue, target)| Stranded {
                queue: queue.clone(),
                target: target.clone(),
                missing: !target.exchange.is_empty()
                    && !self.exchanges.iter().any(|exchange| exchange.name == target.exchange),
            })
            .collect()
    }

    /// Without a key it is the message's own, which any binding may take.
    fn leads_into_a_queue(&self, exchange: &str, key: Option<&str>) -> bool {
        if exchange.is_empty() {
            return key.is_none_or(|queue| self.find_queue(queue).is_some());
        }
        let mut seen = BTreeSet::new();
        let mut open = vec![exchange];
        while let Some(name) = open.pop() {
            let Some(known) = self.exchanges.iter().find(|exchange| exchange.name == name) else { continue };
            if !seen.insert(name) {
                continue;
            }
            let takes = |pattern: &str| match (known.kind, key) {
                (ExchangeKind::Fanout, _) | (_, None) => true,
                (ExchangeKind::Direct, Some(key)) => pattern == key,
                (ExchangeKind::Topic, Some(key)) => topic::matches(pattern, key),
            };
            let mut taken = false;
            for binding in self.bindings.iter().filter(|b| b.source == name && takes(&b.key)) {
                taken = true;
                match &binding.destination {
                    Destination::Queue(_) => return true,
                    Destination::Exchange(next) => open.push(next),
                }
            }
            if !taken {
                open.extend(known.alternate.as_deref());
            }
        }
        false
    }
}

// === impl Stranded ===

impl Stranded {
    pub(crate) fn conflict(self) -> Conflict {
        let exchange = &self.target.exchange;
        let text = if self.missing {
            format!("its dead letters go to exchange {exchange:?}, which is not there")
        } else {
            let key = self.target.key.as_deref().unwrap_or("their own keys");
            format!("its dead letters go to exchange {exchange:?} by {key:?}, where nothing takes them")
        };
        Conflict { name: self.queue, text }
    }
}
