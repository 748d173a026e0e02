//! Whether a service can do its work, asked often and answered cheaply.
//!
//! Checks run at the same time, each with a time-out, at most once a second however many ask. What a service can
//! do without is [`Need::Optional`]: its loss is a degraded service, not one that is taken out.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, timeout};

/// The health of one service. Clones are the same health.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

/// How a [`Health`] behaves.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HealthConfig {
    /// How long an answer is good for. The default, 1 s, is below the interval of any balancer.
    pub fresh: Duration,
    /// How long «not ready» is good for. The default, 100 ms: whoever waits for a start sees it at once, and ten
    /// rounds of questions a second harm no dependency that is just coming up.
    pub fresh_not_ready: Duration,
    /// How long one check may take. The default, 800 ms, is below the time-out of most balancers, 1 s.
    pub timeout: Duration,
}

/// Whether a service can work without a dependency.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Need {
    /// It can: without it the service is degraded.
    Optional,
    /// It cannot: without it the service is not ready.
    Required,
}

/// What a service can do at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Status {
    /// All of it.
    Ready,
    /// All that matters; something optional is away.
    Degraded,
    /// A dependency that it needs is away.
    NotReady,
    /// It is about to stop.
    Draining,
}

/// An answer of [`Health::ready`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The service's name.
    pub service: String,
    /// What it can do.
    pub status: Status,
    /// Its dependencies. Only names and outcomes: an error's text may hold what is nobody's business, and is in
    /// the log.
    pub checks: Vec<CheckReport>,
}

/// One dependency in a [`Report`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it is needed.
    pub need: Need,
    /// How it is.
    pub outcome: Outcome,
}

/// How a dependency is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Outcome {
    /// It answers.
    Ok,
    /// It answers with an error.
    Failed,
    /// It does not answer in time.
    TimedOut,
    /// The check panicked.
    Panicked,
}

struct Shared {
    service: String,
    config: HealthConfig,
    draining: AtomicBool,
    checks: Mutex<Vec<Arc<Check>>>,
    /// Held while checks run, so that those who ask meanwhile wait for the one answer.
    last: tokio::sync::Mutex<Option<(Instant, Report)>>,
}

struct Check {
    name: &'static str,
    need: Need,
    run: Box<dyn Fn() -> Answer + Send + Sync>,
    /// What it was, so that only changes are logged.
    last: Mutex<Outcome>,
}

type Answer = Pin<Box<dyn Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send>>;

// === impl Health ===

impl Health {
    /// The health of `service`, without dependencies yet.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self::with_config(service, HealthConfig::default())
    }

    /// The same with other times.
    #[must_use]
    pub fn with_config(service: impl Into<String>, config: HealthConfig) -> Self {
        Self(Arc::new(Shared {
            service: service.into(),
            config,
            draining: AtomicBool::new(false),
            checks: Mutex::default(),
            last: tokio::sync::Mutex::default(),
        }))
    }

    /// Adds a dependency. `check` is dropped when it takes too long.
    pub fn check<F, E>(&self, name: &'static str, need: Need, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let run = Box::new(move || -> Answer { Box::pin(check().map(|r| r.map_err(Into::into))) });
        let check = Arc::new(Check { name, need, run, last: Mutex::new(Outcome::Ok) });
        let mut checks = self.0.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.push(check);
    }

    /// From now on the service is not ready, whatever its dependencies say.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// Asks the dependencies, or tells what they said within the last second.
    ///
    /// # Cancel safety
    ///
    /// Safe: the next caller asks again.
    pub async fn ready(&self) -> Report {
        let mut last = self.0.last.lock().await;
        let HealthConfig { fresh, fresh_not_ready, .. } = self.0.config;
        let good_for = |report: &Report| if report.is_ready() { fresh } else { fresh_not_ready };
        let fresh = last.as_ref().filter(|(at, report)| at.elapsed() < good_for(report));
        let mut report = if let Some((_, report)) = fresh {
            report.clone()
        } else {
            let report = self.ask().await;
            *last = Some((Instant::now(), report.clone()));
            report
        };
        // Looked at last: a drain that began while the checks ran counts.
        if self.0.draining.load(Ordering::Acquire) {
            report.status = Status::Draining;
        }
        report
    }

    async fn ask(&self) -> Report {
        let checks = {
            let checks = self.0.checks.lock().unwrap_or_else(PoisonError::into_inner);
            checks.clone()
        };
        let limit = self.0.config.timeout;
        let checks = join_all(checks.iter().map(|check| check.ask(limit))).await;
        let away = |need| {
            let mut checks = checks.iter();
            checks.any(|check| check.need == need && check.outcome != Outcome::Ok)
        };
        let status = if away(Need::Required) {
            Status::NotReady
        } else if away(Need::Optional) {
            Status::Degraded
        } else {
            Status::Ready
        };
        Report { service: self.0.service.clone(), status, checks }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("service", &self.0.service)
            .field("draining", &self.0.draining)
            .finish_non_exhaustive()
    }
}

// === impl HealthConfig ===

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(1),
            fresh_not_ready: Duration::from_millis(100),
            timeout: Duration::from_millis(800),
        }
    }
}

// === impl Report ===

impl Report {
    /// Whether the service should be sent work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.status, Status::Ready | Status::Degraded)
    }
}

// === impl Check ===

impl Check {
    async fn ask(&self, limit: Duration) -> CheckReport {
        let mut error = None;
        let answer = AssertUnwindSafe(async { (self.run)().await }).catch_unwind();
        let outcome = match timeout(limit, answer).await {
            Ok(Ok(Ok(()))) => Outcome::Ok,
            Ok(Ok(Err(cause))) => {
                error = Some(cause);
                Outcome::Failed
            }
            Ok(Err(_)) => Outcome::Panicked,
            Err(_) => Outcome::TimedOut,
        };
        let before = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, outcome)
        };
        if outcome != before {
            let (name, need) = (self.name, self.need);
            if outcome == Outcome::Ok {
                tracing::info!(dependency = name, "a dependency is back");
            } else {
                let error = error.as_deref().map(|error| error as &(dyn StdError + 'static));
                tracing::warn!(dependency = name, ?need, ?outcome, error, "a dependency is away");
            }
        }
        CheckReport { name: self.name, need: self.need, outcome }
    }
}

#[cfg(test)]
mod tests;
