//! The engines that the gateway runs on.

use chassis::Shell;
use chassis::config::ConfigError;
use tramline_cache::{Cache, CacheConfig};
use tramline_observability::metrics::{MetricsHandle, Recorder, RecorderConfig};
use tramline_session_sync::tickets::{Tickets, TicketsConfig};

/// What [`build`](crate::build) gets beside the configuration.
#[derive(Clone)]
#[non_exhaustive]
pub struct Deps {
    /// The hub and the life of the process.
    pub shell: Shell,
    /// Who may join which payment's room, for a moment.
    pub cache: Cache,
    /// Socket tickets; none where nobody could tell that one was used.
    pub tickets: Option<Tickets>,
    /// What the live room shows; none where the process records no metrics.
    pub metrics: Option<MetricsHandle>,
}

impl Deps {
    /// These engines.
    #[must_use]
    pub fn new(shell: Shell, cache: Cache, tickets: Option<Tickets>, metrics: Option<MetricsHandle>) -> Self {
        Self { shell, cache, tickets, metrics }
    }

    /// The engines that the configuration names.
    ///
    /// # Errors
    ///
    /// A URL that does not parse.
    pub fn open(shell: &Shell) -> Result<Self, ConfigError> {
        let fault = |fault: &dyn std::fmt::Display| ConfigError::new("REDIS_URL", fault);
        let (cache, tickets) = match &shell.common().redis_url {
            Some(url) => (
                Cache::redis(url.expose(), CacheConfig::default()).map_err(|error| fault(&error))?,
                Some(Tickets::redis(url.expose(), TicketsConfig::default()).map_err(|error| fault(&error))?),
            ),
            None => (Cache::memory(CacheConfig::default()), None),
        };
        let metrics = Recorder::global(&RecorderConfig::default()).ok();
        Ok(Self { shell: shell.clone(), cache, tickets, metrics })
    }
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("shell", &self.shell).finish_non_exhaustive()
    }
}
