//! The service behind the cache, asked for one request.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use tokio::sync::oneshot;
use tower_service::Service;

use crate::cache::Cache;
use crate::error::OfCaller;
use crate::layer::http_cache::answer::{Kind, Names, Whole, age, dated};
use crate::layer::http_cache::body::{Collected, HttpCacheBody, collect};
use crate::layer::http_cache::judge::{Verdict, judge};
use crate::layer::http_cache::question::unconditional;
use crate::layer::http_cache::scope::Audience;
use crate::layer::http_cache::{HttpAnswer, HttpCacheConfig, HttpKey};
use crate::loaded::Loaded;
use crate::metrics::http_not_kept;

/// The service, and what it is to be asked.
pub(super) struct Origin<S, B> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
}

/// An origin that who needs it first takes: the load, or the caller when somebody else's load was for that one only.
pub(super) struct Pending<S, B>(Arc<Mutex<Option<Origin<S, B>>>>);

/// An answer for who asked only. The load sends it, the caller receives it.
pub(super) type Own<R, E> = Result<Response<HttpCacheBody<R>>, E>;

/// What a load needs to know.
pub(super) struct Load {
    pub(super) cache: Cache<HttpKey, HttpAnswer>,
    pub(super) key: HttpKey,
    pub(super) audience: Audience,
    pub(super) config: HttpCacheConfig,
}

/// The service failed.
pub(super) enum Failed {
    /// With an answer for all who waited.
    Answered(Box<Whole>),
    /// With an answer for who asked only: the others ask themselves.
    Other,
    /// The request was at fault, which says nothing of the next one. The others ask themselves.
    Refused,
    /// With none that others could get.
    Lost,
}

/// How long it is kept on which fields an answer depends. Longer than most answers: being wrong costs one more load.
const NAMES_TTL: Duration = Duration::from_secs(60 * 60);

// === impl Origin ===

impl<S, B, R> Origin<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Asks for who asked only.
    pub(super) async fn pass(self) -> Own<R, S::Error> {
        Ok(self.ask().await?.map(HttpCacheBody::passed))
    }

    async fn ask(mut self) -> Result<Response<R>, S::Error> {
        poll_fn(|cx| self.inner.poll_ready(cx)).await?;
        self.inner.call(self.request).await
    }

    /// Asks for all who ask meanwhile. What is not for them goes to `own`.
    pub(super) async fn load(
        mut self,
        load: Load,
        own: oneshot::Sender<Own<R, S::Error>>,
    ) -> Result<Option<Loaded<HttpAnswer>>, Failed> {
        unconditional(self.request.headers_mut());
        let asked = load.cache.now();
        let (mut head, body) = match self.ask().await {
            Ok(response) => response.into_parts(),
            Err(error) => {
                // Who asked may be gone, here and below.
                let _ = own.send(Err(error));
                return Err(Failed::Lost);
            }
        };
        let (came, now) = (load.cache.now(), SystemTime::now());
        dated(&mut head.headers, now);
        let age = age(&head.headers, since(asked, came), now);
        let verdict = match judge(&head, age, &load.audience, &load.key, &load.cache.policy()) {
            Verdict::Pass(why) => {
                let status = head.status;
                let _ = own.send(Ok(Response::from_parts(head, HttpCacheBody::passed(body))));
                return load.alone(status, why);
            }
            Verdict::Varies(names) => {
                load.count("varies");
                let _ = own.send(Ok(Response::from_parts(head, HttpCacheBody::passed(body))));
                let names = Loaded::new(HttpAnswer(Kind::Varies(Names(names))));
                return Ok(Some(names.with_ttl(NAMES_TTL).with_stale_for(Duration::ZERO)));
            }
            verdict => verdict,
        };
        let body = match collect(body, length(&head.headers), &load.config).await {
            Collected::Whole(body) => body,
            Collected::Passed(body, why) => {
                let status = head.status;
                let _ = own.send(Ok(Response::from_parts(head, body)));
                return load.alone(status, why);
            }
            Collected::Broken(body) => {
                let _ = own.send(Ok(Response::from_parts(head, body)));
                load.count("broken");
                return Err(Failed::Lost);
            }
        };
        let reading = since(came, load.cache.now());
        let whole = Whole::new(head, body, age.saturating_add(reading));
        if verdict == Verdict::Failed {
            load.count("failed");
            return Err(Failed::Answered(Box::new(whole)));
        }
        let answer = HttpAnswer(Kind::Whole(whole));
        let Verdict::Keep { ttl, stale } = verdict else {
            load.count("status");
            return Ok(Some(Loaded::not_kept(answer)));
        };
        let loaded = Loaded::new(answer).with_ttl(ttl.saturating_sub(reading));
        Ok(Some(match stale {
            Some(stale) => loaded.with_stale_for(stale),
            None => loaded,
        }))
    }
}

// === impl Pending ===

impl<S, B> Pending<S, B> {
    pub(super) fn new(origin: Origin<S, B>) -> Self {
        Self(Arc::new(Mutex::new(Some(origin))))
    }

    pub(super) fn take(&self) -> Option<Origin<S, B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S, B> Clone for Pending<S, B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

// === impl Load ===

impl Load {
    /// The answer went to who asked. It takes the place of what is old, unless it is a failure, or about the request.
    fn alone(&self, status: StatusCode, why: &'static str) -> Result<Option<Loaded<HttpAnswer>>, Failed> {
        self.count(why);
        // Too many, too late, too early, or misled: that may be said to all, whom a rest does good.
        if is_about_request(status) && !matches!(status.as_u16(), 408 | 421 | 425 | 429) {
            return Err(Failed::Refused);
        }
        if status.is_server_error() || is_about_request(status) {
            return Err(Failed::Other);
        }
        Ok(Some(Loaded::not_kept(HttpAnswer(Kind::Other))))
    }

    fn count(&self, why: &'static str) {
        http_not_kept(self.cache.name(), why);
    }
}

/// Whether it says what is wrong with a request, and so nothing about the thing: another one may get it, and what is
/// kept of it is as good as it was.
pub(super) fn is_about_request(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 404 | 410 | 451)
}

/// Between two times of the store's clock.
fn since(from: u64, to: u64) -> Duration {
    Duration::from_millis(to.saturating_sub(from))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

// === impl Failed ===

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self {
            Self::Answered(whole) => Some(whole.status),
            Self::Other | Self::Refused | Self::Lost => None,
        };
        f.debug_tuple("Failed").field(&status).finish()
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(whole) => write!(f, "the service answered {}", whole.status),
            Self::Refused => f.write_str("the service refused the request"),
            Self::Other | Self::Lost => f.write_str("the service failed"),
        }
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        matches!(self, Self::Refused).then_some(&OfCaller)
    }
}
