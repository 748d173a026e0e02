//! Names of addresses, looked up again and again.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::sync::{Mutex, watch};

/// A name and its port, with what it was last found to mean.
pub(crate) struct Name {
    host: String,
    port: u16,
    found: watch::Sender<Found>,
    /// Held while it is looked up, by one.
    turn: Mutex<()>,
    look_up: LookUp,
}

/// A look-up of a name and a port.
pub(crate) type LookUp = Arc<dyn Fn(String, u16) -> Looking + Send + Sync>;

/// The addresses of a name, to come.
pub(crate) type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// A name without an address.
#[derive(Debug)]
pub(crate) struct Unresolved {
    cause: Arc<io::Error>,
}

#[derive(Clone, Debug)]
enum Found {
    /// The first look-up is not over.
    Unknown,
    /// No look-up has found anything yet.
    Nothing(Arc<io::Error>),
    Addresses(Arc<[SocketAddr]>),
}

/// What look-ups have come to.
#[derive(Clone, Debug)]
pub(crate) struct LookUps {
    pub(crate) good: Counter,
    pub(crate) failed: Counter,
}

/// How many addresses of a name are used. A longer list is one of a service that shares its load out by itself.
const MAX_ADDRESSES: usize = 64;

/// When a look-up that has failed is made again, if that is sooner than the next: requests fail meanwhile.
const SOONER: Duration = Duration::from_secs(1);

/// The system's resolver.
pub(crate) fn system() -> LookUp {
    Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }))
}

// === impl Name ===

impl Name {
    pub(crate) fn new(host: &str, port: u16, look_up: LookUp) -> Arc<Self> {
        Arc::new(Self {
            host: host.to_owned(),
            port,
            found: watch::Sender::new(Found::Unknown),
            turn: Mutex::new(()),
            look_up,
        })
    }

    /// The addresses that it was found to have, if it was.
    pub(crate) fn addresses(&self) -> Option<Arc<[SocketAddr]>> {
        match &*self.found.borrow() {
            Found::Addresses(addresses) => Some(addresses.clone()),
            Found::Unknown | Found::Nothing(_) => None,
        }
    }

    /// Waits for what the first look-up finds.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] when it has found nothing.
    ///
    /// # Cancel safety
    ///
    /// The look-up goes on.
    pub(crate) async fn first(&self) -> Result<Arc<[SocketAddr]>, Unresolved> {
        let mut found = self.found.subscribe();
        // INVARIANT: `self` holds the sender.
        let known = found.wait_for(|found| !matches!(found, Found::Unknown)).await;
        match known.as_deref() {
            Ok(Found::Addresses(addresses)) => Ok(addresses.clone()),
            Ok(Found::Nothing(cause)) => Err(Unresolved { cause: cause.clone() }),
            Ok(Found::Unknown) | Err(_) => {
                Err(Unresolved { cause: Arc::new(io::ErrorKind::NotConnected.into()) })
            }
        }
    }

    /// Looks it up again and again, for as long as `changed` says that anybody wants to know.
    ///
    /// The next look-up begins when the last one has ended, however long that takes: a resolver that hangs holds one
    /// thread for each name, and what was found before stays. A look-up that fails changes nothing either.
    pub(crate) async fn watch(
        self: Arc<Self>,
        every: Duration,
        counts: LookUps,
        mut changed: impl FnMut() -> bool,
    ) {
        // Several may watch one name, and each tells its own what it has found: another one may have found it first.
        let mut told: Option<Arc<[SocketAddr]>> = None;
        loop {
            let turn = self.turn.lock().await;
            let result = (self.look_up)(self.host.clone(), self.port).await.and_then(usable);
            drop(turn);
            let failed = result.is_err();
            match result {
                Ok(addresses) => {
                    counts.good.increment(1);
                    let addresses: Arc<[SocketAddr]> = addresses.into();
                    if self.addresses().is_none_or(|known| *known != *addresses) {
                        tracing::debug!(name = self.host, ?addresses, "a name has other addresses");
                        self.found.send_replace(Found::Addresses(addresses.clone()));
                    }
                    if told.as_ref() != Some(&addresses) {
                        told = Some(addresses);
                        if !changed() {
                            return;
                        }
                    }
                }
                Err(error) => {
                    counts.failed.increment(1);
                    tracing::warn!(name = self.host, error = &error as &dyn StdError, "a name was not found");
                    if self.addresses().is_none() {
                        self.found.send_replace(Found::Nothing(Arc::new(error)));
                    }
                }
            }
            let pause = if failed { every.min(SOONER) } else { every };
            // More or less by a tenth, so that several names do not go together.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.9..1.1))).await;
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Name")
            .field("host", &self.host)
            .field("found", &*self.found.borrow())
            .finish_non_exhaustive()
    }
}

// === impl Unresolved ===

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name has no address")
    }
}

impl StdError for Unresolved {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// In an order of their own: resolvers turn theirs round, and that is no change.
fn usable(mut addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests;
