//! The suite that every store passes. Run it on a store of your own making with [`store`].

#![allow(clippy::unwrap_used, reason = "a suite fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::after;
use crate::error::BoxError;
use crate::revocation::RevocationsConfig;
use crate::token::KeyRingConfig;
use crate::{
    ClientInfo, Clock, Conn, Device, Grant, Journal, KeyFile, KeyRing, KeySource, Reason, RefreshError,
    Revocations, SessionChange, Sessions, SessionsConfig, Store, User, Verifier, VerifierConfig,
};

mod endings;
mod keys;
mod races;
mod rotation;

/// A clock that stands until it is moved. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

/// A journal that remembers, and refuses when told to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    changes: Arc<Mutex<Vec<SessionChange>>>,
    refuse: Arc<AtomicBool>,
}

/// An issuer over the store under test, with a user of its own.
pub(crate) struct Bench {
    pub(crate) hand: ManualClock,
    pub(crate) log: Log,
    pub(crate) sessions: Sessions,
    pub(crate) verifier: Verifier,
    pub(crate) user: User,
}

/// Runs the whole suite on a store that has been migrated.
///
/// # Panics
///
/// When the store does not behave.
pub async fn store(store: &Store) {
    let file = KeyFile::parse(KEY_FILE).unwrap();
    rotation::run(store, &file).await;
    endings::run(store, &file).await;
    races::run(store, &file).await;
    keys::run(store, &file).await;
}

// === impl ManualClock ===

impl ManualClock {
    /// A clock that shows the present time.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Timestamp::now())))
    }

    /// The clock to hand to what is tested.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let hand = self.clone();
        Clock::from_fn(move || hand.now())
    }

    /// What it shows.
    ///
    /// # Panics
    ///
    /// When another user of the clock panicked.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    /// Moves it.
    ///
    /// # Panics
    ///
    /// When another user of the clock panicked.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = after(*now, by);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Log ===

impl Log {
    pub(crate) fn refuse(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::SeqCst);
    }

    /// The session ids and reasons of a user's endings so far.
    pub(crate) fn endings(&self, user_id: &str) -> Vec<(String, Reason)> {
        let changes = self.changes.lock().unwrap();
        let endings = changes.iter().filter_map(|change| match change {
            SessionChange::Revoked { session, reason, .. } if session.user_id == user_id => {
                Some((session.id.clone(), *reason))
            }
            SessionChange::Revoked { .. }
            | SessionChange::Opened { .. }
            | SessionChange::Refreshed { .. } => None,
        });
        endings.collect()
    }

    pub(crate) fn refreshes(&self) -> usize {
        let changes = self.changes.lock().unwrap();
        let refreshed = |change: &&SessionChange| matches!(change, SessionChange::Refreshed { .. });
        changes.iter().filter(refreshed).count()
    }
}

impl Journal for Log {
    async fn record<'a>(&'a self, _conn: Conn<'a>, change: &'a SessionChange) -> Result<(), BoxError> {
        if self.refuse.load(Ordering::SeqCst) {
            return Err("refused".into());
        }
        self.changes.lock().unwrap().push(change.clone());
        Ok(())
    }
}

// === impl Bench ===

impl Bench {
    pub(crate) async fn new(store: &Store, file: &KeyFile) -> Self {
        Self::with(store, file, |_| {}).await
    }

    pub(crate) async fn with(
        store: &Store,
        file: &KeyFile,
        configure: impl FnOnce(&mut SessionsConfig),
    ) -> Self {
        let hand = ManualClock::new();
        let ring = KeyRingConfig { clock: hand.clock(), ..KeyRingConfig::default() };
        let keys = KeyRing::open(store, file, ring).await.unwrap();
        let mut config = SessionsConfig { clock: hand.clock(), ..SessionsConfig::default() };
        configure(&mut config);
        let log = Log::default();
        let sessions = Sessions::with_journal(config, store.clone(), keys.clone(), log.clone());
        let revocations =
            Revocations::memory(RevocationsConfig { clock: hand.clock(), ..RevocationsConfig::default() });
        let config = VerifierConfig { clock: hand.clock(), ..VerifierConfig::default() };
        let verifier = Verifier::new(config, KeySource::ring(keys), revocations);
        let id = Uuid::now_v7().to_string();
        let user = User::new(&id, format!("{id}@example.com"), "Someone", "CUSTOMER");
        Self { hand, log, sessions, verifier, user }
    }

    pub(crate) async fn open(&self, device: &str) -> Grant {
        let device = Device::new(Some(device), Some("A browser"), Some("browser"));
        let client = ClientInfo::new(Some("192.0.2.1"), Some("Agent/1"));
        self.sessions.open(self.user.clone(), device, client).await.unwrap()
    }

    pub(crate) async fn refresh(&self, token: &str) -> Result<Grant, RefreshError> {
        self.refresh_from(token, None).await
    }

    pub(crate) async fn refresh_from(
        &self,
        token: &str,
        device: Option<&str>,
    ) -> Result<Grant, RefreshError> {
        let user = self.user.clone();
        self.sessions
            .refresh(token, device, ClientInfo::default(), |id| async move {
                assert_eq!(id, user.id);
                Ok(Some(user))
            })
            .await
    }

    pub(crate) async fn live(&self) -> Vec<String> {
        let views = self.sessions.list(&self.user.id, None).await.unwrap();
        views.into_iter().map(|view| view.id).collect()
    }
}

/// Seconds.
pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Days.
pub(crate) fn days(days: u64) -> Duration {
    secs(days * 24 * 60 * 60)
}

/// Of no worth but here. One for all runs, since a store opens only with the file that sealed it.
const KEY_FILE: &str = r#"{"version":1,
    "sealing_key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    "first_signing_key":"Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA"}"#;
