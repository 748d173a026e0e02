//! What takes a good token's rights back before its end: all of them, or those to a room.

mod known;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::auth::Identity;
use crate::protocol::{Close, RoomId};
use crate::refusal::Refusal;

pub(crate) use self::known::Known;

/// The end of a user's or a session's tokens, or of their place in a room, for [`Rooms::revoke`](crate::Rooms::revoke).
///
/// It is about the tokens that were issued until now, or until [`at`](Self::at). Whose token does not say when it was
/// issued ([`Identity::issued_at`]) is concerned until the revocation's end.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    #[serde(flatten)]
    pub(crate) scope: Scope,
    at: Timestamp,
    until: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    renewable: bool,
}

/// What a revocation is about; there is one for each.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scope {
    pub(crate) who: Who,
    /// All of their rights if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<RoomId>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Who {
    /// With a room only.
    Everybody,
    Session(String),
    User(String),
}

/// What became of a token's rights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// The sign-in stands, and a new token is good.
    Renewable,
    ForGood,
}

// === impl Revocation ===

impl Revocation {
    /// A session has ended. The last of its tokens ends at `until`.
    #[must_use]
    pub fn session(id: impl Into<String>, until: Timestamp) -> Self {
        Self::new(Who::Session(id.into()), None, until)
    }

    /// A user has no more rights. The last of their tokens ends at `until`.
    #[must_use]
    pub fn user(id: impl Into<String>, until: Timestamp) -> Self {
        Self::new(Who::User(id.into()), None, until)
    }

    /// Nobody has a right to this room any more by a token that they have. The last of these ends at `until`.
    #[must_use]
    pub fn room(room: RoomId, until: Timestamp) -> Self {
        Self::new(Who::Everybody, Some(room), until)
    }

    /// About this room alone.
    #[must_use]
    pub fn in_room(mut self, room: RoomId) -> Self {
        self.scope.room = Some(room);
        self
    }

    /// About the tokens that were issued until then, instead of until now.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    /// The sign-in stands: connections end with 4201 instead of 4009 and upgrades are refused with `TOKEN_EXPIRED`
    /// instead of `TOKEN_REVOKED`, so that clients renew their token and come back.
    #[must_use]
    pub fn renewable(mut self) -> Self {
        self.renewable = true;
        self
    }

    /// When the last token ends that it is about.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether it ends within this time.
    pub(crate) fn is_within(&self, life: Duration) -> bool {
        self.until <= Timestamp::now().saturating_add(life).unwrap_or(Timestamp::MAX)
    }

    /// Whether this token is one of those.
    pub(crate) fn concerns(&self, identity: &Identity) -> bool {
        identity.issued_at.is_none_or(|issued| issued <= self.at)
    }

    pub(crate) fn ended(&self) -> Ended {
        if self.renewable { Ended::Renewable } else { Ended::ForGood }
    }

    fn new(who: Who, room: Option<RoomId>, until: Timestamp) -> Self {
        Self { scope: Scope { who, room }, at: Timestamp::now(), until, renewable: false }
    }
}

// === impl Ended ===

impl Ended {
    /// What connections are told.
    pub(crate) fn close(self) -> Close {
        match self {
            Self::Renewable => Close::TOKEN_ENDED,
            Self::ForGood => Close::SESSION_REVOKED,
        }
    }

    /// What those are told who come with such a token.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Renewable => Refusal::token_expired(),
            Self::ForGood => Refusal::token_revoked(),
        }
    }
}
