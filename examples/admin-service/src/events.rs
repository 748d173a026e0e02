//! The events that feed the read model.

use std::fmt;

use chassis::cache::Forget;
use contracts::{Payload, UserChanged, UserCreated, UserDeleted, UserUpdated};
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

impl Forget for Store {
    async fn forget(&self, event: &Event) {
        // Told by ourselves of what is written already.
        if event.event_type.starts_with("admin.") {
            return;
        }
        let user = match event.event_type.as_str() {
            UserCreated::TYPE | UserUpdated::TYPE => {
                event.data::<UserChanged>().ok().map(|user| user.user_id)
            }
            UserDeleted::TYPE => event.data::<UserDeleted>().ok().map(|user| user.user_id),
            _ => None,
        };
        if let Some(user) = user {
            self.forget_user(user).await;
        }
        if event.event_type.starts_with("payments.payment.") {
            self.forget_figures().await;
        }
        self.forget_actions_without(&event.event_type).await;
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
