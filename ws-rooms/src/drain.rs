//! Going down without a storm.

use std::time::Duration;

use tokio::time::timeout;

use crate::protocol::Close;
use crate::rooms::Rooms;

/// How long connections that are cut may take to end. They have nothing to wait for but their turn.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// What a drain came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that were told.
    pub told: usize,
    /// Connections that had not ended at the deadline and were cut.
    pub cut: usize,
}

impl Rooms {
    /// Refuses new connections, tells all others goodbye with 4200 and a delay drawn for each,
    /// and waits until they are gone. What the deadline finds still open is cut, and gone on return, which may take
    /// a second more; but for an upgrade whose socket has not been handed over yet.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the node stays closed for new connections and the goodbyes stand.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        let node = &self.node;
        node.directory.start_draining();
        let conns = node.directory.all();
        let told = conns.len();
        for conn in conns {
            let delay = node.config.drain_spread.mul_f64(rand::random::<f64>());
            conn.close(Close::DRAIN.with_retry_after(delay));
        }
        node.tasks.close();
        let mut cut = 0;
        if timeout(deadline, node.tasks.wait()).await.is_err() {
            for conn in node.directory.all() {
                cut += 1;
                conn.heart.kill();
                conn.ring();
            }
            // They drop their sockets without another word; whoever ends the process after this cuts nobody short.
            let _ = timeout(CUT_WITHIN, node.tasks.wait()).await;
        }
        DrainReport { told, cut }
    }

    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.node.directory.is_draining()
    }
}
