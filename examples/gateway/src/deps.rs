//! The engines that the gateway runs on.

use chassis::Shell;
use chassis::config::ConfigError;
use tramline_cache::Store;
use tramline_observability::metrics::{MetricsHandle, Recorder, RecorderConfig};
use tramline_session_sync::tickets::{Tickets, TicketsConfig};
use tramline_ws_rooms::Backplane;
use tramline_ws_rooms::backplane::RedisConfig;

/// What [`build`](crate::build) gets beside the configuration.
#[derive(Clone)]
#[non_exhaustive]
pub struct Deps {
    /// The hub and the life of the process.
    pub shell: Shell,
    /// Who may join which payment's room, for a moment.
    pub cache: Store,
    /// Socket tickets; none where nobody could tell that one was used.
    pub tickets: Option<Tickets>,
    /// Where events of rooms are numbered.
    pub backplane: Backplane,
    /// What the live room shows; none where the process records no metrics.
    pub metrics: Option<MetricsHandle>,
}

impl Deps {
    /// These engines, and rooms of this node alone until [`backplane`](Self::backplane) says something else.
    #[must_use]
    pub fn new(shell: Shell, cache: Store, tickets: Option<Tickets>, metrics: Option<MetricsHandle>) -> Self {
        Self { shell, cache, tickets, backplane: Backplane::memory(), metrics }
    }

    /// The engines that the configuration names.
    ///
    /// # Errors
    ///
    /// A URL that does not parse.
    pub fn open(shell: &Shell) -> Result<Self, ConfigError> {
        let fault = |fault: &dyn std::fmt::Display| ConfigError::new("REDIS_URL", fault);
        let tickets = match &shell.common().redis_url {
            Some(url) => {
                Some(Tickets::redis(url.expose(), TicketsConfig::default()).map_err(|error| fault(&error))?)
            }
            None => None,
        };
        let (cache, backplane) = (shell.open_cache()?, Self::backplane(shell)?);
        let metrics = Recorder::global(&RecorderConfig::default()).ok();
        Ok(Self { shell: shell.clone(), cache, tickets, backplane, metrics })
    }

    /// The rooms of the Redis that the configuration names, or of this node alone.
    ///
    /// # Errors
    ///
    /// A URL that does not parse.
    pub fn backplane(shell: &Shell) -> Result<Backplane, ConfigError> {
        match &shell.common().redis_url {
            Some(url) => Backplane::redis(RedisConfig::new(url.expose()))
                .map_err(|error| ConfigError::new("REDIS_URL", error)),
            None => Ok(Backplane::memory()),
        }
    }
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("shell", &self.shell).finish_non_exhaustive()
    }
}
