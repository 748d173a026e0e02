//! Wake-ups from the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};

use crate::outbox::parts::Parts;
use crate::outbox::waker::Signals;

/// The channel of the wake-ups. Their text is a partition's number, `shares` when the relays are to look who has
/// what, or nothing (from code of an older version).
const CHANNEL: &str = "tramline_outbox";

/// The partitions of a session, as its listener sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<AtomicU16>);

// === impl Held ===

impl Held {
    pub(super) fn add(&self, parts: Parts) {
        self.0.fetch_or(parts.bits(), Ordering::AcqRel);
    }

    pub(super) fn remove(&self, parts: Parts) {
        self.0.fetch_and(!parts.bits(), Ordering::AcqRel);
    }

    pub(super) fn parts(&self) -> Parts {
        let bits = self.0.load(Ordering::Acquire);
        (0..16).filter(|part| bits & (1 << part) != 0).collect()
    }

    /// Whether a wake-up with this text is for this relay. One too many costs a look, one too few a poll.
    fn concerns(&self, text: &str) -> bool {
        text.parse().map_or(true, |part: u8| part >= 16 || self.0.load(Ordering::Acquire) & (1 << part) != 0)
    }
}

/// Passes the server's wake-ups on. While it cannot, the relay's poll does its work.
pub(super) async fn listen(application: PgPool, signals: Signals, held: Held, pause: Duration) {
    loop {
        if let Err(error) = listen_once(&application, &signals, &held).await {
            tracing::debug!(%error, "the outbox's listener lost its connection");
        }
        // What was committed meanwhile woke nobody.
        signals.waker.notify();
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.05..=0.1))).await;
    }
}

async fn listen_once(application: &PgPool, signals: &Signals, held: &Held) -> Result<(), sqlx::Error> {
    // A pool of its own, which it would keep a place of; with the options that are the application's now.
    let options = (*application.connect_options()).clone();
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    signals.waker.notify();
    // `try_recv` answers `None` when the connection was lost.
    while let Some(told) = listener.try_recv().await? {
        match told.payload() {
            "shares" => signals.shares.notify_one(),
            text if held.concerns(text) => signals.waker.notify(),
            _ => {}
        }
    }
    Ok(())
}
