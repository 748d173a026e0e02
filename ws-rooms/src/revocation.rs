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
/// A session that has ended is all of its tokens: it gets no new ones. Everything else is about the tokens that were
/// issued until now, by this host's clock, or until [`at`](Self::at), and newer ones are good. Whose token does not say
/// when it was issued ([`Identity::issued_at`]) is concerned until the revocation's end.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    #[serde(flatten)]
    pub(crate) scope: Scope,
    at: Timestamp,
    until: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    renewable: bool,
    /// When it was made, as long as `at` follows from the rest.
    #[serde(skip)]
    made: Option<Timestamp>,
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

/// What became of a token's rights; the later one counts more.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Ended {
    /// The sign-in stands, and a new token is good.
    Renewable,
    ForGood,
}

// === impl Revocation ===

impl Revocation {
    /// A session has ended, and the last of its tokens ends at `until`. All of them are meant, whenever they say they were
    /// issued, unless [`at`](Self::at) is told, the sign-in stands ([`renewable`](Self::renewable)), or it is about a
    /// room ([`in_room`](Self::in_room)).
    #[must_use]
    pub fn session(id: impl Into<String>, until: Timestamp) -> Self {
        Self::new(Who::Session(id.into()), None, until)
    }

    /// A user has no more rights by the tokens that they have; the last of these ends at `until`. For one who never comes
    /// back, say [`at`](Self::at) `until`.
    #[must_use]
    pub fn user(id: impl Into<String>, until: Timestamp) -> Self {
        Self::new(Who::User(id.into()), None, until)
    }

    /// Nobody has a right to this room any more by a token that they have. The last of these ends at `until`.
    #[must_use]
    pub fn room(room: RoomId, until: Timestamp) -> Self {
        Self::new(Who::Everybody, Some(room), until)
    }

    /// About this room alone. Whoever has a newer token may ask for it again, and then the authority decides.
    #[must_use]
    pub fn in_room(mut self, room: RoomId) -> Self {
        self.scope.room = Some(room);
        self.follow()
    }

    /// About the tokens that were issued until then. Take the time of whoever issues tokens, by which they say it too:
    /// other hosts' clocks are others.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        (self.at, self.made) = (at, None);
        self
    }

    /// The sign-in stands: connections end with 4201 instead of 4009 and upgrades are refused with `TOKEN_EXPIRED`
    /// instead of `TOKEN_REVOKED`, so that clients renew their token and come back: the new one is good.
    #[must_use]
    pub fn renewable(mut self) -> Self {
        self.renewable = true;
        self.follow()
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
        let now = Timestamp::now();
        Self { scope: Scope { who, room }, at: now, until, renewable: false, made: Some(now) }.follow()
    }

    /// Sets the time that follows from the rest, unless one was told.
    fn follow(mut self) -> Self {
        if let Some(made) = self.made {
            let whole = matches!(self.scope, Scope { who: Who::Session(_), room: None }) && !self.renewable;
            self.at = if whole { made.max(self.until) } else { made };
        }
        self
    }
}

impl PartialEq for Revocation {
    fn eq(&self, other: &Self) -> bool {
        // How it came to its time makes no difference.
        (&self.scope, self.at, self.until, self.renewable)
            == (&other.scope, other.at, other.until, other.renewable)
    }
}

impl Eq for Revocation {}

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
