//! Where credentials come from.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::auth::Credential;

/// An error of any kind.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What a source answers.
type Answer = Result<Option<Credential>, BoxError>;

/// Why a credential is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Why {
    /// A connection is to be opened: one that is good now will do.
    Open,
    /// The last one has ended, ends soon or was refused: a new one.
    Renew,
}

/// Gives the session its credentials: before every connection, and 30 s before a token ends.
///
/// One question at a time: whoever needs a credential meanwhile gets the same answer. `None` says that nobody is
/// signed in, and stops the session. An error, silence for 30 s and a panic are failures that pass: the session
/// tries again. A ticket opens one connection and cannot renew it.
///
/// Any function that takes a [`Why`] is a source:
///
/// ```
/// use tramline_ws_rooms::client::{TokenSource, Why};
/// use tramline_ws_rooms::Credential;
///
/// fn source(token: String) -> impl TokenSource {
///     move |_: Why| {
///         let token = token.clone();
///         async move { Ok(Some(Credential::Bearer(token))) }
///     }
/// }
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// A credential. Runs as a task of its own, which is dropped when the session stops.
    fn credential(&self, why: Why) -> impl Future<Output = Result<Option<Credential>, BoxError>> + Send;
}

/// Longer than a healthy service takes to issue a token.
const PATIENCE: Duration = Duration::from_secs(30);

/// The object-safe twin of [`TokenSource`].
trait Erased: Send + Sync {
    fn credential(self: Arc<Self>, why: Why) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

/// Asks the source, once at a time.
pub(super) struct Tokens {
    source: Arc<dyn Erased>,
    flight: Option<AbortOnDropHandle<Answer>>,
}

// === impl TokenSource ===

impl<F, Fut> TokenSource for F
where
    F: Fn(Why) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Credential>, BoxError>> + Send,
{
    fn credential(&self, why: Why) -> impl Future<Output = Answer> + Send {
        self(why)
    }
}

impl<S: TokenSource> Erased for S {
    fn credential(self: Arc<Self>, why: Why) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { TokenSource::credential(&*self, why).await })
    }
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn new(source: impl TokenSource) -> Self {
        Self { source: Arc::new(source), flight: None }
    }

    /// Asks, unless a question is under way: then its answer counts.
    pub(super) fn ask(&mut self, why: Why) {
        if self.flight.is_none() {
            let question = self.source.clone().credential(why);
            let question = async { tokio::time::timeout(PATIENCE, question).await? };
            self.flight = Some(AbortOnDropHandle::new(tokio::spawn(question)));
        }
    }

    /// The answer to what was asked. Nothing is lost when dropped; without a question it does not end.
    pub(super) async fn answer(&mut self) -> Answer {
        let Some(flight) = &mut self.flight else { return std::future::pending().await };
        let answer = flight.await;
        self.flight = None;
        answer?
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("asking", &self.flight.is_some()).finish_non_exhaustive()
    }
}
