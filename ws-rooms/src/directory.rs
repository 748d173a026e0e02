//! All connections of a node: by user, session and address, within their limits.

mod ids;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::admin::Target;
use crate::auth::Identity;
use crate::config::Limits;
use crate::protocol::Close;
use crate::revocation::{Ended, Known, Revocation, Who};
use crate::session::{Conn, ConnId};

use self::ids::Ids;

/// How many closures are remembered for connections that are being admitted. Older ones are
/// not needed unless thousands come within one authentication; then admissions are refused.
const RECENT: usize = 4_096;

/// The connections of a node.
pub(crate) struct Directory {
    inner: Mutex<Inner>,
    pub(crate) known: Known,
}

#[derive(Default)]
struct Inner {
    conns: BTreeMap<ConnId, Arc<Conn>>,
    by_user: Ids<Arc<str>>,
    by_session: Ids<Box<str>>,
    by_addr: HashMap<IpAddr, usize>,
    admitted: usize,
    recent: VecDeque<Closure>,
    /// When the newest closure was made that `recent` had no place for any more.
    forgotten: Option<Instant>,
    draining: bool,
}

/// «Everything of this session, or user, is closed.» Kept for connections whose token was
/// checked before and that are registered after.
struct Closure {
    at: Instant,
    target: Target,
    close: Close,
}

/// Why a connection was not admitted.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Denied {
    Address,
    Busy,
    Closed(Close),
    Draining,
    Ended(Ended),
    Node,
    User,
}

/// A place taken for an address; given back when dropped.
pub(crate) struct Place {
    directory: Arc<Directory>,
    addr: IpAddr,
}

// === impl Directory ===

impl Directory {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), known: Known::new() }
    }

    /// Takes a place for an address, before any work is done for it.
    pub(crate) fn reserve(self: &Arc<Self>, addr: IpAddr, limits: &Limits) -> Result<Place, Denied> {
        let addr = bucket(addr);
        let mut inner = self.lock();
        if inner.draining {
            return Err(Denied::Draining);
        }
        if inner.admitted >= limits.connections {
            return Err(Denied::Node);
        }
        let taken = inner.by_addr.entry(addr).or_insert(0);
        if *taken >= limits.connections_per_address {
            return Err(Denied::Address);
        }
        *taken += 1;
        inner.admitted += 1;
        Ok(Place { directory: Arc::clone(self), addr })
    }

    /// Registers a connection whose authentication began at `started`.
    pub(crate) fn register(&self, conn: &Arc<Conn>, started: Instant, limits: &Limits) -> Result<(), Denied> {
        let identity = conn.identity();
        let mut inner = self.lock();
        if inner.draining {
            return Err(Denied::Draining);
        }
        if inner.forgotten.is_some_and(|at| at >= started) {
            return Err(Denied::Busy);
        }
        if let Some(close) = inner.closed_since(&identity, started) {
            return Err(Denied::Closed(close));
        }
        // ORDER: under the lock under which a revocation, once it is known, looks for those it is about.
        if let Some(ended) = self.known.of(&identity) {
            return Err(Denied::Ended(ended));
        }
        if inner.by_user.count(&conn.user) >= limits.connections_per_user {
            return Err(Denied::User);
        }
        inner.by_user.insert(Arc::clone(&conn.user), conn.id);
        inner.by_session.insert(identity.session_id.as_str().into(), conn.id);
        inner.conns.insert(conn.id, Arc::clone(conn));
        Ok(())
    }

    /// Gives a connection its new token; says if that has been closed, or revoked.
    pub(crate) fn renew(&self, conn: &Conn, identity: &Arc<Identity>, started: Instant) -> Option<Close> {
        let before = conn.identity();
        let mut inner = self.lock();
        let ended = || self.known.of(identity).map(Ended::close);
        if let Some(close) = inner.closed_since(identity, started).or_else(ended) {
            return Some(close);
        }
        conn.set_identity(Arc::clone(identity));
        if before.session_id != identity.session_id && inner.conns.contains_key(&conn.id) {
            inner.by_session.remove(before.session_id.as_str(), conn.id);
            inner.by_session.insert(identity.session_id.as_str().into(), conn.id);
        }
        None
    }

    pub(crate) fn unregister(&self, conn: &Conn) {
        let session = conn.identity();
        let mut inner = self.lock();
        if inner.conns.remove(&conn.id).is_some() {
            inner.by_user.remove(&conn.user, conn.id);
            inner.by_session.remove(session.session_id.as_str(), conn.id);
        }
    }

    /// Closes what belongs to the target, now or while it is being admitted.
    pub(crate) fn close(&self, target: &Target, close: &Close) -> usize {
        let conns: Vec<Arc<Conn>> = {
            let mut inner = self.lock();
            inner.remember(target, close);
            inner.of(target)
        };
        for conn in &conns {
            conn.close(close.clone());
        }
        conns.len()
    }

    /// The connections that a revocation is about.
    pub(crate) fn concerned(&self, revocation: &Revocation) -> Vec<Arc<Conn>> {
        let conns = match &revocation.scope.who {
            Who::Session(id) => self.find(&Target::Session(id.clone())),
            Who::User(id) => self.find(&Target::User(id.clone())),
            Who::Everybody => Vec::new(),
        };
        conns.into_iter().filter(|conn| revocation.concerns(&conn.identity())).collect()
    }

    /// The connections of a target.
    pub(crate) fn find(&self, target: &Target) -> Vec<Arc<Conn>> {
        self.lock().of(target)
    }

    /// The first connections after this one, in the order in which they came.
    pub(crate) fn page(&self, after: Option<ConnId>, limit: usize) -> Vec<Arc<Conn>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let inner = self.lock();
        inner.conns.range((from, Bound::Unbounded)).take(limit).map(|(_, conn)| Arc::clone(conn)).collect()
    }

    /// From here on nobody is admitted.
    pub(crate) fn start_draining(&self) {
        self.lock().draining = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    pub(crate) fn all(&self) -> Vec<Arc<Conn>> {
        self.lock().conns.values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().conns.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    /// For those that are just being let in, which nobody knows by an id of their own yet.
    fn remember(&mut self, target: &Target, close: &Close) {
        if matches!(target, Target::Connection(_)) {
            return;
        }
        if self.recent.len() == RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.forgotten = Some(oldest.at);
        }
        self.recent.push_back(Closure { at: Instant::now(), target: target.clone(), close: close.clone() });
    }

    fn of(&self, target: &Target) -> Vec<Arc<Conn>> {
        let ids = match target {
            Target::Connection(id) => {
                let conn = ConnId::parse(id).and_then(|id| self.conns.get(&id).cloned());
                return conn.into_iter().collect();
            }
            Target::Session(id) => self.by_session.of(id.as_str()),
            Target::User(id) => self.by_user.of(id.as_str()),
        };
        ids.iter().filter_map(|id| self.conns.get(id).cloned()).collect()
    }

    fn closed_since(&self, identity: &Identity, started: Instant) -> Option<Close> {
        let hit = |closure: &&Closure| match &closure.target {
            Target::Session(id) => *id == identity.session_id,
            Target::User(id) => *id == identity.user_id,
            // Its token was checked before it had an id.
            Target::Connection(_) => false,
        };
        let recent = self.recent.iter().rev().take_while(|closure| closure.at >= started);
        recent.into_iter().find(hit).map(|closure| closure.close.clone())
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.directory.lock();
        inner.admitted -= 1;
        if let Some(taken) = inner.by_addr.get_mut(&self.addr) {
            *taken -= 1;
            if *taken == 0 {
                inner.by_addr.remove(&self.addr);
            }
        }
    }
}

/// An IPv6 customer has a /64 to draw addresses from: that is one address here.
fn bucket(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V4(addr) => IpAddr::V4(addr),
        IpAddr::V6(addr) => {
            let mut parts = addr.segments();
            parts[4..].fill(0);
            IpAddr::V6(Ipv6Addr::from(parts))
        }
    }
}
