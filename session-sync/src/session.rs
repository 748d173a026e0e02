//! What callers see of a session.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::device::Device;

/// The user a session is opened for, as the tokens will name them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct User {
    /// The user's id: `sub`.
    pub id: String,
    /// The user's e-mail address.
    pub email: String,
    /// The user's name.
    pub name: String,
    /// The user's role.
    pub role: String,
}

/// A session in a list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionView {
    /// The session's id: the tokens' `sid`.
    pub id: String,
    /// Whose session it is. Not part of the JSON: lists go to their owner.
    #[serde(skip)]
    pub user_id: String,
    /// The device it lives on.
    pub device: Device,
    /// The address it was last used from.
    pub ip: Option<String>,
    /// The user agent it was last used with.
    pub user_agent: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last renewed.
    pub last_seen_at: Timestamp,
    /// Whether it is the session that asked.
    pub current: bool,
}

/// What a sign-in or a renewal gives.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Grant {
    /// The access token.
    pub access_token: String,
    /// Seconds until the access token ends.
    pub expires_in: u64,
    /// The refresh token, in clear: nobody else has it.
    pub refresh_token: String,
    /// Seconds until the refresh token ends unless it is used.
    #[serde(skip)]
    pub refresh_expires_in: u64,
    /// The session.
    pub session: SessionView,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Reason {
    /// The account was deleted.
    Deleted,
    /// Its time was up, or it made room for a newer session.
    Expired,
    /// The user signed out.
    Logout,
    /// The user ended all others.
    Others,
    /// The password changed.
    Password,
    /// A refresh token was used twice: theft.
    Reuse,
    /// The user ended it from another session, or an administrator did.
    Revoked,
    /// The role changed.
    Role,
    /// The account was suspended.
    Suspended,
}

/// Why a renewal was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The token is unknown, spent with its session, or its user may not sign in.
    #[error("the refresh token is not valid")]
    Invalid,
    /// The token was used before: theft. The session has ended.
    #[error("the refresh token was used before; its session has ended")]
    #[non_exhaustive]
    Reused {
        /// Whose session it was.
        user_id: String,
        /// The session that ended.
        session_id: String,
    },
    /// Nothing was decided; the token is as good as before.
    #[error("the refresh could not be decided")]
    Failed(#[source] crate::Error),
}

// === impl User ===

impl User {
    /// A user.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        email: impl Into<String>,
        name: impl Into<String>,
        role: impl Into<String>,
    ) -> Self {
        Self { id: id.into(), email: email.into(), name: name.into(), role: role.into() }
    }
}

// === impl Grant ===

impl fmt::Debug for Grant {
    // Tokens never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("expires_in", &self.expires_in)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

// === impl Reason ===

impl Reason {
    /// The reason's name in events and rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Logout => "logout",
            Self::Others => "others",
            Self::Password => "password",
            Self::Reuse => "reuse",
            Self::Revoked => "revoked",
            Self::Role => "role",
            Self::Suspended => "suspended",
        }
    }
}

// === impl RefreshError ===

impl From<crate::Error> for RefreshError {
    fn from(error: crate::Error) -> Self {
        Self::Failed(error)
    }
}
