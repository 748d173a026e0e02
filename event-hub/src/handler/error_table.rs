//! Which error means which outcome.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use crate::handler::Undecodable;

/// Which error means which outcome: rules in order, of which the first that fits decides.
///
/// It judges the errors of handlers and of layers, panics ([`Panicked`](crate::handler::Panicked)) and
/// handlers that took too long ([`TimedOut`](crate::handler::TimedOut)). An
/// [`Outcome`](crate::Outcome) that a handler gives itself needs no judge.
///
/// ```
/// use std::io;
/// use std::time::Duration;
///
/// use tramline_event_hub::handler::{Action, ErrorTable, find};
///
/// let table = ErrorTable::new()
///     .on::<std::num::ParseIntError>(Action::Reject)
///     .when("refused", |e| find(e).is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::ConnectionRefused),
///         Action::RetryAfter(Duration::from_secs(30)))
///     .otherwise(Action::Retry);
/// assert_eq!(table.to_string(), "\
/// 1. core::num::error::ParseIntError → reject
/// 2. refused → retry after 30s
/// 3. undecodable → reject
/// 4. anything else → retry
/// ");
/// ```
#[derive(Clone)]
pub struct ErrorTable {
    rules: Vec<Rule>,
    undecodable: Action,
    otherwise: Action,
}

/// What an error means for the delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// It does not matter: done. The error is logged.
    Ack,
    /// Failed for now: again after the policy's delay, or a dead letter when tried too often.
    Retry,
    /// Failed for now: again after this delay, or a dead letter when tried too often.
    RetryAfter(Duration),
    /// Failed for good: a dead letter.
    Reject,
    /// Not handled at all: back into the queue, for someone else.
    Return,
    /// No event can be handled now: the consumer pauses at once, see [`Breaker`](crate::config::Breaker), and
    /// the event is tried again without an attempt counted.
    Pause,
}

#[derive(Clone)]
struct Rule {
    name: Cow<'static, str>,
    fits: Arc<Predicate>,
    action: Action,
}

type Predicate = dyn Fn(&(dyn StdError + 'static)) -> bool + Send + Sync;

/// Looks for an error of type `E` in a chain of errors, from the outermost inwards.
#[must_use]
pub fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    iter::successors(Some(error), |error| inner(*error)).find_map(|error| error.downcast_ref())
}

// === impl ErrorTable ===

impl ErrorTable {
    /// What is undecodable is rejected; anything else is tried again.
    #[must_use]
    pub fn new() -> Self {
        Self { rules: Vec::new(), undecodable: Action::Reject, otherwise: Action::Retry }
    }

    /// Adds a rule for an error type, anywhere in the chain of sources.
    #[must_use]
    pub fn on<E: StdError + 'static>(self, action: Action) -> Self {
        self.rule(Cow::Borrowed(std::any::type_name::<E>()), |error| find::<E>(error).is_some(), action)
    }

    /// Adds a rule of a name, for errors that a function knows. [`find`] looks through a chain of sources.
    #[must_use]
    pub fn when(
        self,
        name: impl Into<Cow<'static, str>>,
        fits: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
        action: Action,
    ) -> Self {
        self.rule(name.into(), fits, action)
    }

    /// Says what becomes of a delivery that is no event, or whose payload is not of its handler's shape
    /// ([`Undecodable`]). Default: rejected, since another try would read the same bytes.
    #[must_use]
    pub fn undecodable(mut self, action: Action) -> Self {
        self.undecodable = action;
        self
    }

    /// Says what becomes of errors that no rule fits. Default: tried again, since most pass by themselves.
    #[must_use]
    pub fn otherwise(mut self, action: Action) -> Self {
        self.otherwise = action;
        self
    }

    /// The action for an error.
    #[must_use]
    pub fn action(&self, error: &(dyn StdError + 'static)) -> Action {
        if let Some(rule) = self.rules.iter().find(|rule| (rule.fits)(error)) {
            return rule.action;
        }
        if find::<Undecodable>(error).is_some() { self.undecodable } else { self.otherwise }
    }

    pub(crate) fn uses(&self, action: Action) -> bool {
        self.lines().any(|(_, used)| used == action)
    }

    fn rule(
        mut self,
        name: Cow<'static, str>,
        fits: impl Fn(&(dyn StdError + 'static)) -> bool + Send + Sync + 'static,
        action: Action,
    ) -> Self {
        self.rules.push(Rule { name, fits: Arc::new(fits), action });
        self
    }

    fn lines(&self) -> impl Iterator<Item = (&str, Action)> {
        let rules = self.rules.iter().map(|rule| (&*rule.name, rule.action));
        rules.chain([("undecodable", self.undecodable), ("anything else", self.otherwise)])
    }
}

impl Default for ErrorTable {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ErrorTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, action)) in self.lines().enumerate() {
            writeln!(f, "{}. {name} → {action}", n + 1)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.lines()).finish()
    }
}

// === impl Action ===

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ack => f.write_str("ack"),
            Self::Retry => f.write_str("retry"),
            Self::RetryAfter(delay) => write!(f, "retry after {delay:?}"),
            Self::Reject => f.write_str("reject"),
            Self::Return => f.write_str("return"),
            Self::Pause => f.write_str("pause"),
        }
    }
}

/// One level deeper. An `io::Error` steps over the error that it was made of; we do not.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(made_of) => Some(made_of),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests;
