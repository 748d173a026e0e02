//! One connection that always comes back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::tcp::OwnedTLSConfig;
use lapin::{Connection, ConnectionProperties};
use rand::seq::SliceRandom as _;
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::amqp::address::Address;
use crate::amqp::{PATIENCE, Setup, declare, failure};
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind};
use crate::handler::chain;
use crate::telemetry::ConnectionMetrics;

/// A handle to a connection that is opened again and again.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Half of the state; the owner task sends, and goes when the client closes.
    current: watch::Receiver<Current>,
}

#[derive(Clone, Debug)]
enum Current {
    /// With the last failure, for people.
    Away(Option<Arc<str>>),
    Open(Arc<Connection>),
    Ended,
}

/// Why no address gave a connection.
struct Failed {
    why: String,
    /// A broker answered, and does not want us: to ask soon again would only fill its log.
    refused: bool,
}

/// How often the connection's state is looked at beside its events, which can be missed.
const LOOK: Duration = Duration::from_millis(250);

// === impl Link ===

impl Link {
    pub(super) fn open(role: &'static str, setup: Arc<Setup>) -> Self {
        let (sender, current) = watch::channel(Current::Away(None));
        tokio::spawn(run(role, setup, sender));
        Self { current }
    }

    /// Waits for a connection.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Error> {
        let mut current = self.current.clone();
        let found = current
            .wait_for(|current| match current {
                Current::Away(_) => false,
                // Between its loss and the owner's look it is of no use.
                Current::Open(connection) => connection.status().connected(),
                Current::Ended => true,
            })
            .await;
        match found.as_deref() {
            Ok(Current::Open(connection)) => Ok(Arc::clone(connection)),
            _ => Err(Error::new(ErrorKind::Closed, "")),
        }
    }

    /// Waits until this connection is no longer the current one, or a moment has passed.
    pub(super) async fn lost(&self, old: &Arc<Connection>) {
        let mut current = self.current.clone();
        let other =
            current.wait_for(|current| !matches!(current, Current::Open(now) if Arc::ptr_eq(now, old)));
        let _ = timeout(LOOK * 2, other).await;
    }

    /// Connected, and blocked.
    pub(super) fn state(&self) -> (bool, bool) {
        match &*self.current.borrow() {
            Current::Open(connection) => (connection.status().connected(), connection.status().blocked()),
            Current::Away(_) | Current::Ended => (false, false),
        }
    }

    /// Why there is no connection, when one was tried.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.current.borrow() {
            Current::Away(Some(why)) => Some(why.to_string()),
            Current::Away(None) | Current::Open(_) | Current::Ended => None,
        }
    }

    pub(super) async fn ended(&self) {
        let mut current = self.current.clone();
        let _ = timeout(PATIENCE * 2, current.wait_for(|current| matches!(current, Current::Ended))).await;
    }
}

async fn run(role: &'static str, setup: Arc<Setup>, current: watch::Sender<Current>) {
    let closed = setup.closed.clone();
    let metrics = ConnectionMetrics::new(role);
    let mut backoff = Backoff::new(setup.config.backoff_first, setup.config.backoff_max);
    loop {
        let opened = closed.run_until_cancelled(open_any(role, &setup)).await;
        let mut pause = Duration::ZERO;
        match opened {
            None => break,
            Some(Ok(connection)) => {
                tracing::info!(role, "connected to the broker");
                metrics.opened.increment(1);
                let since = Instant::now();
                let connection = Arc::new(connection);
                current.send_replace(Current::Open(Arc::clone(&connection)));
                let stopped = closed.run_until_cancelled(until_lost(&connection, &metrics)).await.is_none();
                metrics.blocked.set(0.0);
                current.send_replace(Current::Away(None));
                if stopped {
                    let farewell = connection.close(200, "goodbye".into());
                    if timeout(PATIENCE, farewell).await.is_err() {
                        tracing::debug!(role, "the broker did not answer the farewell");
                    }
                    break;
                }
                if since.elapsed() >= setup.config.backoff_max {
                    // What is opened and lost at once must not be opened at once, again and again.
                    backoff.reset();
                }
                metrics.lost.increment(1);
                tracing::warn!(role, "connection to the broker lost");
            }
            Some(Err(Failed { why, refused })) => {
                current.send_replace(Current::Away(Some(why.into())));
                if refused {
                    pause = setup.config.backoff_max;
                }
            }
        }
        pause += backoff.next();
        if closed.run_until_cancelled(sleep(pause)).await.is_none() {
            break;
        }
    }
    current.send_replace(Current::Ended);
}

/// Tries every address once, in an order of its own: many clients must not all go to the same node.
async fn open_any(role: &'static str, setup: &Setup) -> Result<Connection, Failed> {
    let mut addresses: Vec<_> = setup.addresses.iter().collect();
    addresses.shuffle(&mut rand::rng());
    let mut failed = Failed { why: String::new(), refused: false };
    for address in addresses {
        match open(role, setup, address).await {
            Ok(connection) => return Ok(connection),
            Err((error, refused)) => {
                let error = chain(&error);
                if refused {
                    tracing::error!(role, %address, error, "the broker refuses us: tried again, slowly");
                } else {
                    tracing::warn!(role, %address, error, "no connection to the broker");
                }
                failed.why = format!("{address}: {error}");
                failed.refused |= refused;
            }
        }
    }
    Err(failed)
}

async fn open(role: &'static str, setup: &Setup, address: &Address) -> Result<Connection, (Error, bool)> {
    let name = format!("{} {role}", setup.config.connection_name);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let tls = OwnedTLSConfig { identity: None, cert_chain: setup.config.root_certificates.clone() };
    let patience = address.connect_timeout(setup.config.connect_timeout);
    let broker = |error: lapin::Error| {
        let refused = failure::is_refusal_of_us(&error);
        (Error::new(ErrorKind::Broker, "connecting").with_source(error), refused)
    };
    let connect = async {
        let runtime = lapin::runtime::default_runtime()?;
        Connection::connect_uri_with_config(address.0.clone(), properties, tls, runtime).await
    };
    let connection = timeout(patience, connect)
        .await
        .map_err(|_| (Error::new(ErrorKind::Timeout, "connecting"), false))?
        .map_err(broker)?;
    if *setup.topology() != crate::topology::Topology::default() {
        // What the broker may have lost, before anyone relies on it.
        declare::declare_again(setup, &connection).await.map_err(|error| (error, false))?;
    }
    Ok(connection)
}

async fn until_lost(connection: &Connection, metrics: &ConnectionMetrics) {
    let mut events = connection.events_listener();
    let mut look = interval(LOOK);
    while connection.status().connected() {
        tokio::select! {
            event = events.next() => if event.is_none() {
                return;
            },
            _ = look.tick() => {}
        }
        // Several events may stand in line; the state says it all.
        while events.next().now_or_never().flatten().is_some() {}
        metrics.blocked.set(if connection.status().blocked() { 1.0 } else { 0.0 });
    }
}
