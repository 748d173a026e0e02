//! The small closed vocabularies of the system, spelled once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is none of the vocabulary's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UnknownName;

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name is not in the vocabulary")
    }
}

impl std::error::Error for UnknownName {}

/// Declares an enum whose variants are written one way on the wire, in databases and in URLs.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
        #[allow(clippy::exhaustive_enums, reason = "the contract closes this vocabulary")]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every word of the vocabulary.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it stands on the wire and in databases.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownName),
                }
            }
        }
    };
}

vocabulary! {
    /// What a user may do.
    Role {
        /// Pays.
        Customer = "CUSTOMER",
        /// Pays and is paid, and sees reports.
        Vendor = "VENDOR",
        /// Sees and administers everything.
        Admin = "ADMIN",
    }
}

vocabulary! {
    /// Whether a user may sign in.
    UserStatus {
        /// May sign in.
        Active = "active",
        /// May not, until an admin says otherwise.
        Suspended = "suspended",
    }
}

vocabulary! {
    /// Where a payment stands. Nothing leaves the last three.
    PaymentStatus {
        /// Accepted, not yet taken up.
        Pending = "pending",
        /// With the provider.
        Processing = "processing",
        /// Paid.
        Completed = "completed",
        /// Refused by the provider.
        Failed = "failed",
        /// Taken back before it was taken up.
        Cancelled = "cancelled",
    }
}

vocabulary! {
    /// When a payment is to be made.
    PaymentType {
        /// At once.
        Instant = "instant",
        /// At a time.
        Scheduled = "scheduled",
        /// Again and again.
        Recurring = "recurring",
    }
}

vocabulary! {
    /// Why a session ended.
    RevokeReason {
        /// Its user signed out.
        Logout = "logout",
        /// Its user ended it from another session.
        Revoked = "revoked",
        /// Its user ended all the others.
        Others = "others",
        /// A refresh token was presented twice: theft.
        Reuse = "reuse",
        /// The password changed.
        Password = "password",
        /// The role changed.
        Role = "role",
        /// The user was suspended.
        Suspended = "suspended",
        /// The user was deleted.
        Deleted = "deleted",
        /// Its time was over.
        Expired = "expired",
    }
}

vocabulary! {
    /// What an audit entry is about.
    ResourceType {
        /// A user.
        User = "user",
        /// A session.
        Session = "session",
        /// A payment.
        Payment = "payment",
        /// A profile.
        Profile = "profile",
        /// A setting.
        Config = "config",
    }
}

/// The e-mails of the demo accounts: the admin's, the vendor's, the customer's.
pub const DEMO_EMAILS: [&str; 3] = ["admin@example.com", "vendor@example.com", "customer@example.com"];

impl PaymentStatus {
    /// Whether the state machine lets a payment go from this state to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Processing | Self::Cancelled)
                | (Self::Processing, Self::Completed | Self::Failed)
        )
    }
}

#[cfg(test)]
mod tests;
