//! Who may connect, and who may join which room: decided by the application.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use jiff::Timestamp;

use crate::protocol::RoomId;
use crate::refusal::Refusal;

/// The application's word on identities and rooms.
///
/// Both questions are asked with a deadline ([`RoomsConfig::authority_timeout`]); a late answer
/// counts as «unavailable».
///
/// [`RoomsConfig::authority_timeout`]: crate::RoomsConfig::authority_timeout
pub trait Authority: Send + Sync + 'static {
    /// Who holds this credential. Asked at the upgrade and at each `auth` frame.
    fn authenticate(
        &self,
        credential: Credential,
        peer: &PeerInfo,
    ) -> impl Future<Output = Result<Identity, Refusal>> + Send;

    /// Whether the user may join a room that neither the server joins by itself nor a rule has an [`Authoriser`] for.
    /// As there; nobody may unless this says otherwise.
    fn may_join(&self, identity: &Identity, room: &RoomId) -> impl Future<Output = Access> + Send {
        let _ = (identity, room);
        std::future::ready(Access::Forbidden)
    }
}

/// The application's word on the rooms of one rule ([`RoomRule::authorised_by`](crate::RoomRule::authorised_by)).
pub trait Authoriser: Send + Sync + 'static {
    /// Whether the user may join a room. `rest` is what its name has beyond the rule's prefix, nothing for a whole name.
    ///
    /// Asked at each `subscribe`, recoveries included, and again when the token is renewed; with the authority's
    /// deadline. «Absent» and «not allowed» are the same answer, so that names tell nothing.
    fn may_join(&self, identity: &Identity, room: &RoomId, rest: &str)
    -> impl Future<Output = Access> + Send;
}

/// An answer of [`Authoriser::may_join`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Access {
    /// The user may be in the room.
    Allowed,
    /// The user may not, or there is no such room.
    Forbidden,
    /// It cannot be told now; the client may ask again.
    Unavailable,
}

/// What a client showed to prove who it is.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum Credential {
    /// An access token, from the subprotocol, the `Authorization` header or an `auth` frame.
    Bearer(String),
    /// A ticket of one use, from the query.
    Ticket(String),
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The client's address, after trusted proxies were taken into account.
    pub addr: IpAddr,
}

/// An authenticated user, on one session.
#[derive(Clone)]
#[non_exhaustive]
pub struct Identity {
    /// The user's id; the same for the connection's whole life.
    pub user_id: String,
    /// The session that the token belongs to.
    pub session_id: String,
    /// The user's role, as the application calls it.
    pub role: String,
    /// The rooms that the server joins by itself, in the order in which the welcome lists them.
    pub rooms: Vec<RoomId>,
    /// When the token was issued. A [`Revocation`](crate::Revocation) is about older tokens; about all of them while
    /// this is not told.
    pub issued_at: Option<Timestamp>,
    /// When the token ends, and the connection with it unless it is renewed.
    pub expires_at: Timestamp,
    /// The token itself, for an authority that asks another service in the user's name.
    pub token: String,
}

// === impl PeerInfo ===

impl PeerInfo {
    /// A peer at this address.
    #[must_use]
    pub fn new(addr: IpAddr) -> Self {
        Self { addr }
    }
}

// === impl Identity ===

impl Identity {
    /// An identity without rooms, role and token; set what applies.
    #[must_use]
    pub fn new(user_id: impl Into<String>, session_id: impl Into<String>, expires_at: Timestamp) -> Self {
        Self {
            user_id: user_id.into(),
            session_id: session_id.into(),
            role: String::new(),
            rooms: Vec::new(),
            issued_at: None,
            expires_at,
            token: String::new(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token stays out: debug output ends in logs.
        f.debug_struct("Identity")
            .field("user_id", &self.user_id)
            .field("session_id", &self.session_id)
            .field("role", &self.role)
            .field("rooms", &self.rooms)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

// === impl Credential ===

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(..)",
            Self::Ticket(_) => "Ticket(..)",
        })
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe twin of [`Authority`].
pub(crate) trait ErasedAuthority: Send + Sync {
    fn authenticate<'a>(
        &'a self,
        credential: Credential,
        peer: &'a PeerInfo,
    ) -> BoxFuture<'a, Result<Identity, Refusal>>;

    fn may_join<'a>(&'a self, identity: &'a Identity, room: &'a RoomId) -> BoxFuture<'a, Access>;
}

impl<A: Authority> ErasedAuthority for A {
    fn authenticate<'a>(
        &'a self,
        credential: Credential,
        peer: &'a PeerInfo,
    ) -> BoxFuture<'a, Result<Identity, Refusal>> {
        Box::pin(Authority::authenticate(self, credential, peer))
    }

    fn may_join<'a>(&'a self, identity: &'a Identity, room: &'a RoomId) -> BoxFuture<'a, Access> {
        Box::pin(Authority::may_join(self, identity, room))
    }
}

/// The object-safe twin of [`Authoriser`].
pub(crate) trait ErasedAuthoriser: Send + Sync {
    fn may_join<'a>(
        &'a self,
        identity: &'a Identity,
        room: &'a RoomId,
        rest: &'a str,
    ) -> BoxFuture<'a, Access>;
}

impl<A: Authoriser> ErasedAuthoriser for A {
    fn may_join<'a>(
        &'a self,
        identity: &'a Identity,
        room: &'a RoomId,
        rest: &'a str,
    ) -> BoxFuture<'a, Access> {
        Box::pin(Authoriser::may_join(self, identity, room, rest))
    }
}
