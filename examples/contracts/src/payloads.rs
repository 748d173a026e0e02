//! The `data` of each event, field for field as the contract has it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::Payload;
use crate::role::{PaymentStatus, PaymentType, ResourceType, RevokeReason, Role, UserStatus};

/// Declares a payload: a plain struct, its event type, and the field that keeps its order.
macro_rules! payload {
    (
        $(#[$doc:meta])* $name:ident = $event_type:literal, ordered by $key:ident {
            $($(#[$fdoc:meta])* $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase")]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
        #[allow(clippy::exhaustive_structs, reason = "the services build these; the contract closes them")]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $type,)+
        }

        impl Payload for $name {
            const TYPE: &'static str = $event_type;

            fn key(&self) -> String {
                self.$key.to_string()
            }
        }
    };
}

/// A user as its owner, the auth service, sees it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[allow(clippy::exhaustive_structs, reason = "the services build these; the contract closes them")]
pub struct UserChanged {
    /// The user.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub user_id: Uuid,
    /// Grows with each change; copies take only newer ones.
    pub version: i64,
    /// The address as its user wrote it.
    pub email: String,
    /// The name shown to others.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may sign in.
    pub status: UserStatus,
    /// When the user registered.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub created_at: Timestamp,
    /// When this version was made.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub updated_at: Timestamp,
}

/// `auth.user.created`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[allow(clippy::exhaustive_structs, reason = "the services build these; the contract closes them")]
pub struct UserCreated(
    /// The user.
    pub UserChanged,
);

/// `auth.user.updated`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[allow(clippy::exhaustive_structs, reason = "the services build these; the contract closes them")]
pub struct UserUpdated(
    /// The user after the change.
    pub UserChanged,
);

impl Payload for UserCreated {
    const TYPE: &'static str = "auth.user.created";

    fn key(&self) -> String {
        self.0.user_id.to_string()
    }
}

impl Payload for UserUpdated {
    const TYPE: &'static str = "auth.user.updated";

    fn key(&self) -> String {
        self.0.user_id.to_string()
    }
}

payload! {
    /// A user is gone; copies keep a tombstone.
    UserDeleted = "auth.user.deleted", ordered by user_id {
        /// The user.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        user_id: Uuid,
        /// The version of the deletion.
        version: i64,
        /// When.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        deleted_at: Timestamp,
    }
}

payload! {
    /// A session was opened.
    LoggedIn = "auth.user.login", ordered by user_id {
        /// Whose.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        user_id: Uuid,
        /// The session.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        session_id: Uuid,
        /// The device it runs on, where the client named one.
        device_id: Option<String>,
        /// The client's address.
        ip: Option<String>,
        /// When.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        at: Timestamp,
    }
}

payload! {
    /// A session was closed by its user.
    LoggedOut = "auth.user.logout", ordered by user_id {
        /// Whose.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        user_id: Uuid,
        /// The session.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        session_id: Uuid,
        /// The device it ran on.
        device_id: Option<String>,
        /// The client's address.
        ip: Option<String>,
        /// When.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        at: Timestamp,
    }
}

payload! {
    /// A password changed.
    PasswordChanged = "auth.user.password_changed", ordered by user_id {
        /// Whose.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        user_id: Uuid,
        /// When.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        at: Timestamp,
    }
}

payload! {
    /// A session ended, for whatever reason: its tokens are refused and its sockets closed.
    SessionRevoked = "auth.session.revoked", ordered by user_id {
        /// Whose.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        user_id: Uuid,
        /// The session.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        session_id: Uuid,
        /// The device it ran on.
        device_id: Option<String>,
        /// Why.
        reason: RevokeReason,
        /// When.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        at: Timestamp,
    }
}

/// A payment as its owner, the payments service, sees it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[allow(clippy::exhaustive_structs, reason = "the services build these; the contract closes them")]
pub struct PaymentChanged {
    /// The payment.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub payment_id: Uuid,
    /// Grows with each change; copies take only newer ones.
    pub version: i64,
    /// Who pays.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub sender_id: Uuid,
    /// Who is paid.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub recipient_id: Uuid,
    /// How much, as a decimal string.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// Where it stands.
    pub status: PaymentStatus,
    /// When it is to be made.
    #[serde(rename = "type")]
    pub payment_type: PaymentType,
    /// What for.
    pub description: String,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub failure_reason: Option<String>,
    /// When.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub occurred_at: Timestamp,
}

/// One of the five events of a payment; which one is told by what happened to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "the contract closes this vocabulary")]
pub enum PaymentEvent {
    /// It was made.
    Created,
    /// It changed, its end not reached.
    Updated,
    /// It was paid.
    Completed,
    /// The provider refused it.
    Failed,
    /// Its sender took it back.
    Cancelled,
}

impl PaymentEvent {
    /// The event type.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Created => "payments.payment.created",
            Self::Updated => "payments.payment.updated",
            Self::Completed => "payments.payment.completed",
            Self::Failed => "payments.payment.failed",
            Self::Cancelled => "payments.payment.cancelled",
        }
    }

    /// The event that tells of a payment entering `status`.
    #[must_use]
    pub const fn entering(status: PaymentStatus) -> Self {
        match status {
            PaymentStatus::Pending => Self::Created,
            PaymentStatus::Processing => Self::Updated,
            PaymentStatus::Completed => Self::Completed,
            PaymentStatus::Failed => Self::Failed,
            PaymentStatus::Cancelled => Self::Cancelled,
        }
    }
}

payload! {
    /// A profile changed.
    ProfileUpdated = "profile.profile.updated", ordered by user_id {
        /// Whose.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        user_id: Uuid,
        /// Which fields; not their values, which are personal.
        fields: Vec<String>,
        /// When.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        at: Timestamp,
    }
}

payload! {
    /// A setting changed.
    ConfigUpdated = "admin.config.updated", ordered by key {
        /// The setting.
        key: String,
        /// Its new value.
        #[cfg_attr(feature = "typescript", ts(type = "unknown"))]
        value: serde_json::Value,
        /// Who changed it.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        updated_by: Uuid,
        /// When.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        at: Timestamp,
    }
}

payload! {
    /// An audit row was written.
    AuditCreated = "admin.audit.created", ordered by resource_id {
        /// The row.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        audit_id: Uuid,
        /// The audited event's type.
        action: String,
        /// Who acted, where known.
        #[cfg_attr(feature = "typescript", ts(type = "string | null"))]
        user_id: Option<Uuid>,
        /// What it is about.
        resource_type: ResourceType,
        /// Which one.
        resource_id: String,
        /// When.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        at: Timestamp,
    }
}

#[cfg(test)]
mod tests;
