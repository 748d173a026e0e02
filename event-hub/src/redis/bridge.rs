//! Back: what channels say, published into the hub.

mod buffer;
mod copies;
mod listener;
mod status;
mod writer;

use std::fmt;
use std::future::Future;
use std::pin::pin;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};
use crate::hub::Hub;
use crate::redis::PubSub;
use crate::redis::bridge::listener::Listener;
use crate::redis::bridge::status::Figures;
use crate::redis::bridge::writer::Writer;
use crate::redis::config::BridgeConfig;

pub use crate::redis::bridge::status::{BridgeMonitor, BridgeStatus};

/// Publishes the messages of channels as events, see [`PubSub::bridge`].
pub struct Bridge {
    hub: Hub,
    listener: Listener,
    writer: Writer,
    figures: Figures,
    config: BridgeConfig,
}

// === impl Bridge ===

impl Bridge {
    pub(super) fn new(redis: PubSub, hub: Hub, config: BridgeConfig) -> Result<Self, Error> {
        let refuse = |why| Err(Error::new(ErrorKind::Config, why));
        if config.channels.is_empty() && config.patterns.is_empty() {
            return refuse("a bridge without channels and patterns");
        }
        if config.buffer == 0 || config.buffer_bytes == 0 || config.batch == 0 {
            return refuse("a bridge without room for a message");
        }
        let figures = Figures::new(&redis.config().name);
        let (sender, receiver) = buffer::new(config.buffer, config.buffer_bytes, figures.clone());
        let listener = Listener::new(redis.clone(), config.clone(), sender, figures.clone());
        let writer = Writer::new(redis, hub.clone(), config.batch, receiver, figures.clone());
        Ok(Self { hub, listener, writer, figures, config })
    }

    /// Shows how the bridge is, as long as anybody wants to know.
    #[must_use]
    pub fn monitor(&self) -> BridgeMonitor {
        self.figures.monitor()
    }

    /// Listens and publishes until `shutdown` completes; then unsubscribes, and publishes what has come until then.
    ///
    /// The hub's exchange must be [declared](Hub::declare); until it is, messages wait.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the hub is shut down first.
    ///
    /// # Cancel safety
    ///
    /// When dropped, what waits for the hub is lost, logged and counted.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let Self { hub, listener, mut writer, figures: _, config } = self;
        let stop = CancellationToken::new();
        let closed = hub.closed();
        let end = async {
            let closed = tokio::select! {
                biased;
                () = shutdown => false,
                () = closed.cancelled() => true,
            };
            stop.cancel();
            closed
        };
        // The listener takes the buffer's sender with it: the writer ends after what is in there.
        let work = async { tokio::join!(listener.run(&stop), writer.run()) };
        let (mut end, mut work) = (pin!(end), Box::pin(work));
        let closed = tokio::select! {
            biased;
            closed = &mut end => closed,
            // A hub that is closed ends both, too.
            _ = &mut work => closed.is_cancelled(),
        };
        if !closed {
            // What is left when this time is over is told by the writer's end.
            let _ = timeout(config.drain_timeout, &mut work).await;
        }
        if closed { Err(Error::new(ErrorKind::Closed, "while taking messages from Redis")) } else { Ok(()) }
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("config", &self.config).finish_non_exhaustive()
    }
}
