//! What the services of the reference system agree on: the events, their payloads, and the
//! queues that carry them. Nothing here does anything; it is the one place where a name is spelled.

mod event;
mod money;
mod payloads;
mod role;
mod topology;
#[cfg(feature = "typescript")]
pub mod typescript;

pub use crate::event::{Payload, wrap};
pub use crate::money::{Amount, InvalidAmount};
pub use crate::payloads::{
    AuditCreated, ConfigUpdated, LoggedIn, LoggedOut, PasswordChanged, PaymentChanged, PaymentEvent,
    ProfileUpdated, SessionRevoked, UserChanged, UserCreated, UserDeleted, UserUpdated,
};
pub use crate::role::{
    DEMO_EMAILS, PaymentStatus, PaymentType, ResourceType, RevokeReason, Role, UnknownName, UserStatus,
};
pub use crate::topology::{
    ADMIN_QUEUE, AUTH_QUEUE, DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY, DEAD_LETTER_QUEUE, EXCHANGE,
    PAYMENTS_QUEUE, PROFILE_QUEUE, REVOCATION_KEYS, gateway_feed, revocation_feed, topology,
};
