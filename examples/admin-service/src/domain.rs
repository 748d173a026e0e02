//! What an audit entry is: who did what to which thing, and which part of it is personal.

pub(crate) mod chain;

use contracts::{
    ConfigUpdated, LoggedIn, LoggedOut, PasswordChanged, Payload, PaymentChanged, PaymentEvent,
    PaymentStatus, ProfileUpdated, ResourceType, SessionRevoked, UserChanged, UserCreated, UserDeleted,
    UserUpdated,
};
use serde_json::{Map, Value as Json};
use tramline_event_hub::{Error, Event};
use uuid::Uuid;

/// What an event says, for the audit log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    /// Who acted; the provider and the system are nobody.
    pub(crate) user_id: Option<Uuid>,
    pub(crate) resource_type: ResourceType,
    pub(crate) resource_id: String,
    /// The event's data without what is personal.
    pub(crate) details: Map<String, Json>,
    /// What can be erased, and whose it is.
    pub(crate) personal: Map<String, Json>,
    pub(crate) person_id: Option<Uuid>,
}

/// Why an event is not audited.
#[derive(Debug)]
pub(crate) enum NoFact {
    /// It tells of the log itself, or was audited in the transaction that made it.
    Own,
    /// No rule for its type.
    Unknown,
    /// Its data is not its type's.
    Payload(Error),
}

/// The fields that name or place a person, whatever the event.
const PERSONAL: &[&str] = &["email", "name", "ip", "description", "failureReason"];

impl Fact {
    /// Reads an event.
    pub(crate) fn of(event: &Event) -> Result<Self, NoFact> {
        let (user_id, resource_type, resource_id, person_id) = match event.event_type.as_str() {
            UserCreated::TYPE | UserUpdated::TYPE => {
                let user: UserChanged = event.data()?;
                (Some(user.user_id), ResourceType::User, user.user_id.to_string(), Some(user.user_id))
            }
            UserDeleted::TYPE => {
                let user: UserDeleted = event.data()?;
                (Some(user.user_id), ResourceType::User, user.user_id.to_string(), Some(user.user_id))
            }
            PasswordChanged::TYPE => {
                let user: PasswordChanged = event.data()?;
                (Some(user.user_id), ResourceType::User, user.user_id.to_string(), Some(user.user_id))
            }
            LoggedIn::TYPE => {
                let session: LoggedIn = event.data()?;
                (
                    Some(session.user_id),
                    ResourceType::Session,
                    session.session_id.to_string(),
                    Some(session.user_id),
                )
            }
            LoggedOut::TYPE => {
                let session: LoggedOut = event.data()?;
                (
                    Some(session.user_id),
                    ResourceType::Session,
                    session.session_id.to_string(),
                    Some(session.user_id),
                )
            }
            SessionRevoked::TYPE => {
                let session: SessionRevoked = event.data()?;
                (
                    Some(session.user_id),
                    ResourceType::Session,
                    session.session_id.to_string(),
                    Some(session.user_id),
                )
            }
            ProfileUpdated::TYPE => {
                let profile: ProfileUpdated = event.data()?;
                (
                    Some(profile.user_id),
                    ResourceType::Profile,
                    profile.user_id.to_string(),
                    Some(profile.user_id),
                )
            }
            other if is_payment(other) => {
                let payment: PaymentChanged = event.data()?;
                // What the provider does, nobody of ours does.
                let actor = matches!(other, "payments.payment.created" | "payments.payment.cancelled")
                    .then_some(payment.sender_id);
                (actor, ResourceType::Payment, payment.payment_id.to_string(), Some(payment.sender_id))
            }
            other if other.starts_with("admin.audit.") => return Err(NoFact::Own),
            ConfigUpdated::TYPE => return Err(NoFact::Own),
            _ => return Err(NoFact::Unknown),
        };
        let data: Map<String, Json> = event.data()?;
        let (personal, details) = data.into_iter().partition(|(name, _)| PERSONAL.contains(&name.as_str()));
        Ok(Self { user_id, resource_type, resource_id, details, personal, person_id })
    }
}

/// Whether it is one of the five events of a payment.
fn is_payment(event_type: &str) -> bool {
    PaymentStatus::ALL.iter().any(|&status| PaymentEvent::entering(status).event_type() == event_type)
}

impl From<Error> for NoFact {
    fn from(error: Error) -> Self {
        Self::Payload(error)
    }
}

#[cfg(test)]
mod tests;
