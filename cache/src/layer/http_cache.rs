//! HTTP answers, kept by route and by whom they are for.
//!
//! A rule says which requests are cached at all, and for whom an answer is: [`Scope`]. Everything else is as in any
//! [`Cache`]: one load for all who ask at once, in all processes, endings by tags, old answers where the policy wants
//! them. The layer keeps to RFC 9111 as far as that says what may be kept and answered: the words of `Cache-Control`,
//! `Vary`, `Age`, and the conditions of a request.
//!
//! ```
//! use http::{Request, Response, request::Parts};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tramline_cache::layer::http_cache::{HttpCacheConfig, HttpCacheLayer, Scope};
//! use tramline_cache::{CacheConfig, Store, StoreConfig, Tag};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::memory(StoreConfig::default());
//! let answers = store.cache(CacheConfig::new("http"))?;
//! let rule = |request: &Parts| match request.uri.path() {
//!     "/rates" => Some(Scope::public().with_tag(Tag::of("rates"))),
//!     _ => None,
//! };
//! let service = ServiceBuilder::new()
//!     .layer(HttpCacheLayer::new(answers, HttpCacheConfig::default(), rule))
//!     .service_fn(async |_: Request<Full<bytes::Bytes>>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::from("1.08")))
//!     });
//!
//! let ask = || service.clone().oneshot(Request::get("/rates").body(Full::default()).unwrap());
//! assert_eq!(ask().await?.headers()["server-timing"], "cache;desc=miss");
//! assert_eq!(ask().await?.headers()["server-timing"], "cache;desc=hit");
//!
//! store.invalidate_tag(&Tag::of("rates")).await;
//! assert_eq!(ask().await?.headers()["server-timing"], "cache;desc=miss");
//! # Ok(())
//! # }
//! ```
//!
//! # For whom
//!
//! Whom an answer is for is part of its key, beside scheme, host, path and query, and the rule says it: all, those of a
//! role, one user. A request with `Authorization` or `Cookie` is cached only for a role or a user, or without them:
//! [`Scope::without_credentials`]. What else of a request the service reads, such as a header that a proxy sets, belongs
//! into the key too: the service names it in `Vary`, or the rule in [`Scope::with_vary`]: `Forwarded` and the
//! `X-Forwarded-…` are not in the key by themselves. What is kept lies in Redis as it is, that of users too.
//!
//! A request that names two hosts, in its target and in `Host` or in two of those, passes by: which one the service takes,
//! nobody knows here. So does one that asks for another method or path in a header field (`X-HTTP-Method-Override`,
//! `X-Original-URL` and the like), unless the rule names that field. What such a method changes ends nothing: what
//! gives a request the other method belongs outside of this layer.
//!
//! # What is kept
//!
//! Answers to `GET` with 200, 203, 204, 300, 301, 308, and with 404 and 410 when the policy has a `negative_ttl`. They
//! live as long as `s-maxage`, `max-age` or `Expires` says, less what is over of it, and never longer than the policy's
//! `ttl`; without such a word, `ttl`. `HEAD` is answered from what `GET` left. Extensions of an answer are not kept.
//!
//! Never kept, and given to no other than who asked: what says `no-store`, `no-cache`, or `private` (unless the scope is
//! a user's); what sets cookies; `Vary: *`; a part of something; a body that is longer than
//! [`HttpCacheConfig::max_body`], takes longer than [`HttpCacheConfig::body_timeout`], has trailers, or is a stream of
//! events. A 5xx is not kept either, but answers all who waited, or what is old does if the policy allows it. What is not
//! kept is counted by its reason: `cache.http.not_kept`.
//!
//! The first answer whose `Vary` names fields that the key does not have is not kept either: its names are, and the next
//! request has them in its key. A rule that names them itself saves that one.
//!
//! What is old is answered by the policy (`stale_for`, `soft_timeout`), no longer than the answer's own words allow:
//! with a `soft_timeout`, `stale-while-revalidate`; without, `stale-if-error`. After `must-revalidate` or
//! `proxy-revalidate`, never; nor a 404 or 410.
//!
//! # What ends it
//!
//! Tags, and unsafe requests (`POST`, `PUT`, `PATCH`, `DELETE` and those that are not known) to the same host and path,
//! whatever the query, when the rule names the route: what is for all, for a role, or for any user. With
//! [`Scope::only_its_own`] other users' answers stay. That is before their answer is given, unless it is a 4xx; and when
//! they fail or go away midway, since then nobody knows. What else they change is said in
//! [`HttpCacheLayer::with_endings`].
//!
//! Addresses share 16,384 tags, so that nobody fills Redis with them: a write may end what is kept of some others. The
//! usual ports (80, 443) and `%41` for `A` are the same address. A service that is asked by several names, and does not
//! look at them, says so: [`Scope::for_any_host`].
//!
//! # What a client may say
//!
//! `no-cache` and `max-age=0` are answered by the service itself, `max-age` by what is not older; what is kept stays,
//! so that no client can push it out, and a plain question after it may get what is older. `no-store` is answered from
//! what is there, or by the service, and nothing is kept. `only-if-cached` is 504 when nothing is there. `max-stale` and
//! `min-fresh` change nothing. `If-None-Match` and `If-Modified-Since` are answered 304 from what is kept; the service
//! does not see them then. Requests with a body, for ranges, or with other conditions pass by.
//!
//! A request that passes by though a rule names it is counted by its reason: `cache.http.passed_by`.
//!
//! # When the service fails
//!
//! What is wrong may be that request's own, so that who waited for it asks once more, one for all of them. When that
//! fails too, they get it: a 5xx is for all of them. What took too long only those ask for again who waited for less than
//! half of [`Policy::hard_timeout`](crate::Policy::hard_timeout). Other 4xx than 401, 403, 404, 410 and 451 are about a
//! request: who sent it gets it, what is kept or old stays, and the next load is not put off for it, save by a 429.
//!
//! Whose request it was gets the service's own error. The others who waited have no copy of it: they get 502, and
//! [`Error`](crate::Error) as an extension of the answer; 500 when it panicked, 504 when it took longer than
//! [`Policy::hard_timeout`](crate::Policy::hard_timeout). A body that breaks off is such a failure too.
//!
//! # Where to put it
//!
//! Outside of it: whatever is about one request, such as its id, and who may ask at all. Inside: what makes the answer,
//! such as compression. The layer itself is always ready; the service is waited for by those who need it.
//!
//! The path must be the whole one. A router that hands a request to an inner one takes off what it has read of the path,
//! though the matched route that it tells is whole: inside of axum's `nest`, `/acme/report` and `/globex/report` are both
//! `/report`, and would be answered alike. So the layer belongs around the outer router, or the rule says the place
//! ([`Scope::with_place`], with the path of axum's `OriginalUri`).

mod address;
mod answer;
mod ask;
mod body;
mod directives;
mod ending;
mod judge;
mod key;
mod octets;
mod origin;
mod question;
mod respond;
mod scope;
mod service;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use tower_layer::Layer;

use crate::cache::Cache;
use crate::key::Tag;
use crate::metrics::describe_http;

pub use self::answer::HttpAnswer;
pub use self::body::HttpCacheBody;
pub use self::key::HttpKey;
pub use self::scope::Scope;
pub use self::service::{HttpCache, HttpCacheFuture};

/// Caches the answers of a service, where a rule says so.
#[derive(Clone)]
pub struct HttpCacheLayer {
    shared: Arc<Shared>,
}

/// How a [`HttpCacheLayer`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpCacheConfig {
    /// The longest body that is kept, in bytes; longer ones are passed on as they come.
    ///
    /// The default, 512 KiB, is half of what a cache keeps of one value: text grows when it is written as JSON.
    pub max_body: usize,
    /// How long a body may take to be whole; then it is passed on as it comes. Default 1 s: who asked waits so long.
    pub body_timeout: Duration,
}

/// What the services of one layer share.
struct Shared {
    cache: Cache<HttpKey, HttpAnswer>,
    config: HttpCacheConfig,
    rule: Rule,
    endings: Option<Endings>,
}

type Rule = Box<dyn Fn(&Parts) -> Option<Scope> + Send + Sync>;

type Endings = Arc<dyn Fn(&Parts) -> Vec<Tag> + Send + Sync>;

// === impl HttpCacheLayer ===

impl HttpCacheLayer {
    /// Keeps answers in `cache`. `rule` says of a `GET` or `HEAD` whether its answer is cached, and for whom. Of an unsafe
    /// request it is asked as for a `GET`, to know what of the same address ends.
    #[must_use]
    pub fn new(
        cache: Cache<HttpKey, HttpAnswer>,
        config: HttpCacheConfig,
        rule: impl Fn(&Parts) -> Option<Scope> + Send + Sync + 'static,
    ) -> Self {
        describe_http();
        Self { shared: Arc::new(Shared { cache, config, rule: Box::new(rule), endings: None }) }
    }

    /// What else an unsafe request changes, beside what is kept of its own address: that ends with it, see
    /// [the module](self#what-ends-it).
    #[must_use]
    pub fn with_endings(self, endings: impl Fn(&Parts) -> Vec<Tag> + Send + Sync + 'static) -> Self {
        let endings: Option<Endings> = Some(Arc::new(endings));
        let shared = match Arc::try_unwrap(self.shared) {
            Ok(shared) => Shared { endings, ..shared },
            // A clone of the layer is in use, and keeps its own.
            Err(shared) => Shared {
                cache: shared.cache.clone(),
                config: shared.config.clone(),
                rule: Box::new(move |parts| (shared.rule)(parts)),
                endings,
            },
        };
        Self { shared: Arc::new(shared) }
    }
}

impl<S> Layer<S> for HttpCacheLayer {
    type Service = HttpCache<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpCache::new(inner, Arc::clone(&self.shared))
    }
}

impl fmt::Debug for HttpCacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheLayer").field("cache", &self.shared.cache).finish_non_exhaustive()
    }
}

// === impl HttpCacheConfig ===

impl Default for HttpCacheConfig {
    fn default() -> Self {
        Self { max_body: 512 * 1024, body_timeout: Duration::from_secs(1) }
    }
}
