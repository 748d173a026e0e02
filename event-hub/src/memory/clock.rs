//! The embedded broker's sense of time.

use std::sync::Weak;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::memory::Shared;

/// Moves expired messages and removes unused queues until the broker is gone.
pub(super) async fn run(shared: Weak<Shared>, stop: CancellationToken) {
    loop {
        let Some(shared) = shared.upgrade() else { return };
        let next = shared.state().tick(Instant::now());
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.sooner.notified() => {}
            () = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}
