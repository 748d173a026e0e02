//! The events that feed the read model.

use std::fmt;

use tramline_event_hub::{Context, Event, Outcome};

use crate::domain::{Fact, NoFact};
use crate::store::Store;

/// Handles one event with one effect.
pub(crate) async fn handle(store: Store, event: Event, _: Context) -> Outcome {
    let fact = match Fact::of(&event) {
        Ok(fact) => fact,
        Err(NoFact::Own) => return Outcome::Ack,
        // Nothing that was accepted goes unseen: it waits among the dead letters for someone who has a rule.
        Err(NoFact::Unknown) => return Outcome::reject(&NoRule),
        Err(NoFact::Payload(error)) => return Outcome::reject(&error),
    };
    match store.take(&event, fact).await {
        Ok(()) => Outcome::Ack,
        Err(error) => Outcome::retry(&error),
    }
}

#[derive(Debug)]
struct NoRule;

impl fmt::Display for NoRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the audit log has no rule for this event type")
    }
}

impl std::error::Error for NoRule {}
