//! The events that make and purge profiles.

use chassis::cache::Forget;
use contracts::{PROFILE_QUEUE, Payload, UserChanged, UserCreated, UserDeleted, UserUpdated};
use tramline_event_hub::{Context, Event, Outcome};

use crate::store::Store;

/// The version of the payloads that are understood here.
const VERSION: u32 = 1;

/// Handles one event with one effect.
pub(crate) async fn handle(store: Store, event: Event, _: Context) -> Outcome {
    let ours = matches!(event.event_type.as_str(), UserCreated::TYPE | UserUpdated::TYPE | UserDeleted::TYPE);
    if ours && event.data_version != VERSION {
        return Outcome::Reject { reason: format!("version {} is not known here", event.data_version) };
    }
    let done = match event.event_type.as_str() {
        UserCreated::TYPE | UserUpdated::TYPE => match event.data::<UserChanged>() {
            Ok(user) => store.take(PROFILE_QUEUE, &event.id, &user).await,
            Err(error) => return Outcome::reject(&error),
        },
        UserDeleted::TYPE => match event.data::<UserDeleted>() {
            Ok(user) => store.purge(PROFILE_QUEUE, &event.id, &user).await,
            Err(error) => return Outcome::reject(&error),
        },
        // Sign-ins and whatever comes later: not ours.
        _ => Ok(()),
    };
    match done {
        Ok(()) => Outcome::Ack,
        Err(error) => Outcome::retry(&error),
    }
}

impl Forget for Store {
    /// Who asked before a user arrived has put «nothing» into the cache.
    async fn forget(&self, event: &Event) {
        let user = match event.event_type.as_str() {
            UserCreated::TYPE | UserUpdated::TYPE => event.data::<UserChanged>().map(|user| user.user_id),
            UserDeleted::TYPE => event.data::<UserDeleted>().map(|user| user.user_id),
            _ => return,
        };
        if let Ok(user) = user {
            self.forget_profile(user).await;
        }
    }
}
