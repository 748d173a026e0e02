//! The layer for HTTP, in memory and on a real Redis.

mod addresses;
mod bodies;
mod credentials;
mod ended;
mod failures;
mod kept;
mod old;
mod redis;
mod said;

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tramline_cache::layer::http_cache::{
    HttpAnswer, HttpCacheBody, HttpCacheConfig, HttpCacheLayer, HttpKey, Scope,
};
use tramline_cache::{Cache, CacheConfig, Clock, Policy, Store, StoreConfig};

use super::*;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type Ready = std::future::Ready<Result<Response<Body>, Infallible>>;
pub(crate) type Answer = Response<HttpCacheBody<Body>>;

/// A service behind the layer, and what it stands on.
pub(crate) struct Site<E = Infallible> {
    pub(crate) service: BoxCloneService<Request<Full<Bytes>>, Answer, E>,
    pub(crate) store: Store,
    pub(crate) cache: Cache<HttpKey, HttpAnswer>,
    pub(crate) clock: Clock,
    /// How often the service was asked.
    pub(crate) asked: Arc<AtomicUsize>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) head: http::response::Parts,
    pub(crate) body: String,
}

// === impl Site ===

impl<E: Send + 'static> Site<E> {
    pub(crate) fn new<F, Fut>(
        policy: Policy,
        rule: impl Fn(&Parts) -> Option<Scope> + Send + Sync + 'static,
        service: F,
    ) -> Self
    where
        F: Fn(Request<Full<Bytes>>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<Response<Body>, E>> + Send + 'static,
    {
        Self::with(policy, |layer| layer, rule, service)
    }

    /// All of it in a scope that has a policy of its own.
    pub(crate) fn by<F, Fut>(usual: Policy, own: Policy, service: F) -> Self
    where
        F: Fn(Request<Full<Bytes>>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<Response<Body>, E>> + Send + 'static,
    {
        let made = Arc::new(OnceLock::<Cache<HttpKey, HttpAnswer>>::new());
        let handle = Arc::clone(&made);
        let rule = move |_: &Parts| Some(Scope::public().with_policy_of(handle.get()?));
        let site = Self::new(usual, rule, service);
        made.set(site.cache.with_policy(own).unwrap()).unwrap();
        site
    }

    pub(crate) fn with<F, Fut>(
        policy: Policy,
        layer: impl FnOnce(HttpCacheLayer) -> HttpCacheLayer,
        rule: impl Fn(&Parts) -> Option<Scope> + Send + Sync + 'static,
        service: F,
    ) -> Self
    where
        F: Fn(Request<Full<Bytes>>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<Response<Body>, E>> + Send + 'static,
    {
        let clock = Clock::manual();
        let mut config = StoreConfig::default();
        config.clock = clock.clone();
        Self::over(Store::memory(config), clock, policy, layer, rule, service)
    }

    pub(crate) fn over<F, Fut>(
        store: Store,
        clock: Clock,
        policy: Policy,
        layer: impl FnOnce(HttpCacheLayer) -> HttpCacheLayer,
        rule: impl Fn(&Parts) -> Option<Scope> + Send + Sync + 'static,
        service: F,
    ) -> Self
    where
        F: Fn(Request<Full<Bytes>>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<Response<Body>, E>> + Send + 'static,
    {
        let mut config = CacheConfig::new("http");
        config.policy = policy;
        config.policy.jitter = 0.0;
        let cache: Cache<HttpKey, HttpAnswer> = store.cache(config).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let counting = service_fn(move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            service(request)
        });
        let mut bounds = HttpCacheConfig::default();
        bounds.max_body = 1000;
        // What is claimed is not how fast a busy machine is.
        bounds.body_timeout = Duration::from_secs(20);
        let made = layer(HttpCacheLayer::new(cache.clone(), bounds, rule)).layer(counting);
        Self { service: BoxCloneService::new(made), store, cache, clock, asked }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, E> {
        self.service.clone().oneshot(request).await
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Site {
    /// Asks and reads.
    pub(crate) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Read {
        self.read("GET", path, fields).await
    }

    pub(crate) async fn read(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Read {
        let Ok(answer) = self.send(request(method, path, fields)).await;
        read(answer).await
    }
}

// === impl Read ===

impl Read {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What the cache says of it.
    pub(crate) fn from(&self) -> Option<&str> {
        self.head
            .headers
            .get_all("server-timing")
            .iter()
            .next_back()?
            .to_str()
            .unwrap()
            .strip_prefix("cache;desc=")
    }
}

pub(crate) async fn read(answer: Answer) -> Read {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Read { head, body: String::from_utf8(body.to_vec()).unwrap() }
}

pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer of the service: fields, and a body that says how many answers there were.
pub(crate) fn numbered(
    fields: &'static [(&'static str, &'static str)],
) -> impl Fn(Request<Full<Bytes>>) -> Ready + Clone + Send {
    let count = Arc::new(AtomicUsize::new(0));
    move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let mut response = Response::builder();
        for (name, value) in fields {
            response =
                if *name == ":status" { response.status(*value) } else { response.header(*name, *value) };
        }
        std::future::ready(Ok(response.body(full(number.to_string())).unwrap()))
    }
}

pub(crate) fn everything(_: &Parts) -> Option<Scope> {
    Some(Scope::public())
}

pub(crate) fn minute() -> Policy {
    Policy::new(Duration::from_secs(60))
}
