//! Passwords: Argon2id, a bounded number at a time, and the rules for new ones.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use tokio::sync::{OnceCell, Semaphore};

use crate::error::{Error, ErrorKind};

mod kdf;
mod rules;

pub use self::rules::{PasswordFault, check_rules};

/// Hashes and verifies passwords. Clones share the places.
#[derive(Clone)]
pub struct Passwords(Arc<Shared>);

/// How [`Passwords`] behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PasswordConfig {
    /// How many hashes are computed at a time.
    ///
    /// The default, 2, is 38 MiB and at most two cores: sign-ins never starve the sessions.
    pub concurrency: usize,
    /// How many callers may wait for a place; one more is told [`ErrorKind::Busy`].
    ///
    /// The default, 64, is about a second of waiting.
    pub waiting: usize,
    /// Argon2's memory in KiB.
    ///
    /// The default, 19 MiB, is OWASP's first choice.
    pub memory_kib: u32,
    /// Argon2's passes.
    ///
    /// The default, 2, belongs to the 19 MiB.
    pub iterations: u32,
}

struct Shared {
    params: Params,
    places: Arc<Semaphore>,
    /// How many hold or await a place.
    present: AtomicUsize,
    bound: usize,
    /// A hash nobody has the password of: what an unknown e-mail is verified against.
    dummy: OnceCell<String>,
    refused: metrics::Counter,
    seconds: metrics::Histogram,
}

/// Leaves the count of those present, whatever ends the wait.
struct Presence<'a>(&'a AtomicUsize);

// === impl Passwords ===

impl Passwords {
    /// Hashes as `config` says. Parameters that Argon2 refuses become its own defaults.
    #[must_use]
    pub fn new(config: &PasswordConfig) -> Self {
        let params = Params::new(config.memory_kib, config.iterations, 1, None).unwrap_or_default();
        Self(Arc::new(Shared {
            params,
            places: Arc::new(Semaphore::new(config.concurrency.max(1))),
            present: AtomicUsize::new(0),
            bound: config.concurrency.max(1).saturating_add(config.waiting),
            dummy: OnceCell::new(),
            refused: metrics::counter!("session_sync_password_hashes_refused_total"),
            seconds: metrics::histogram!("session_sync_password_hash_seconds"),
        }))
    }

    /// Hashes a password into a PHC string.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] when too many wait, [`ErrorKind::Crypto`] when Argon2 fails.
    pub async fn hash(&self, password: &str) -> Result<String, Error> {
        let password = password.to_owned();
        let params = self.0.params.clone();
        self.compute(move || kdf::hash(&params, password.as_bytes())).await?
    }

    /// Whether a password belongs to a PHC string.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] when too many wait, [`ErrorKind::Crypto`] when `phc` is no hash.
    pub async fn verify(&self, password: &str, phc: &str) -> Result<bool, Error> {
        // No password is longer, so this one is wrong; it is cut to cost the same as any other.
        let possible = password.len() <= MAX_BYTES;
        let password = password.as_bytes()[..password.len().min(MAX_BYTES)].to_vec();
        let phc = phc.to_owned();
        let matches = self.compute(move || kdf::verify(&phc, &password)).await??;
        Ok(matches && possible)
    }

    /// Costs what [`verify`](Self::verify) costs, for an e-mail that nobody has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] when too many wait.
    pub async fn verify_dummy(&self, password: &str) -> Result<(), Error> {
        let dummy = self
            .0
            .dummy
            .get_or_try_init(|| async { self.hash(&uuid::Uuid::new_v4().to_string()).await })
            .await?;
        self.verify(password, dummy).await.map(drop)
    }

    /// Makes the hash that [`verify_dummy`](Self::verify_dummy) needs, so that the first unknown
    /// e-mail does not take twice as long. Called at start.
    ///
    /// # Errors
    ///
    /// As for [`hash`](Self::hash).
    pub async fn warm(&self) -> Result<(), Error> {
        self.verify_dummy("").await
    }

    /// Whether a verified password should be hashed anew, because the parameters have grown.
    #[must_use]
    pub fn needs_rehash(&self, phc: &str) -> bool {
        let Ok(hash) = PasswordHash::new(phc) else {
            return true;
        };
        let wanted = &self.0.params;
        hash.algorithm.as_str() != "argon2id"
            || Params::try_from(&hash)
                .map_or(true, |params| params.m_cost() < wanted.m_cost() || params.t_cost() < wanted.t_cost())
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let shared = &*self.0;
        let presence = Presence(&shared.present);
        if shared.present.fetch_add(1, Ordering::Relaxed) >= shared.bound {
            shared.refused.increment(1);
            return Err(Error::new(ErrorKind::Busy));
        }
        let place = Arc::clone(&shared.places)
            .acquire_owned()
            .await
            .map_err(|error| Error::with(ErrorKind::Busy, error))?;
        let started = tokio::time::Instant::now();
        let outcome = tokio::task::spawn_blocking(move || {
            // CANCEL SAFETY: the place goes with the work. A caller that leaves does not make
            // room for a third hash while this one is still running.
            let _place = place;
            work()
        })
        .await
        .map_err(|error| Error::with(ErrorKind::Crypto, error));
        shared.seconds.record(started.elapsed().as_secs_f64());
        drop(presence);
        outcome
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new(&PasswordConfig::default())
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

// === impl PasswordConfig ===

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { concurrency: 2, waiting: 64, memory_kib: 19 * 1024, iterations: 2 }
    }
}

// === impl Presence ===

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// 255 characters of four bytes.
const MAX_BYTES: usize = 255 * 4;

#[cfg(test)]
mod tests;
