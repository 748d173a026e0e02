//! Pages that axum makes, kept in memory, or in memory over Redis.
//!
//! ```text
//! cargo run -p tramline-cache --example http --features tower -- [--listen 127.0.0.1:8080] [--redis redis://…]
//! curl -i http://127.0.0.1:8080/articles/7                          # server-timing: cache;desc=miss, then hit
//! curl -i -X PUT -d 'Another text' http://127.0.0.1:8080/articles/7 # ends it, and the list, in all processes
//! curl -i http://127.0.0.1:8080/articles
//! curl -i -H 'x-user: ada' http://127.0.0.1:8080/drafts             # hers only
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tramline_cache::layer::http_cache::{HttpCacheConfig, HttpCacheLayer, Scope};
use tramline_cache::{CacheConfig, Policy, RedisConfig, Store, StoreConfig, Tag};

/// Pages that are cached.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A Redis to share with other processes
    #[arg(long)]
    redis: Option<String>,
}

/// The texts, by number: what a database would have.
#[derive(Clone, Default)]
struct Texts(Arc<Mutex<BTreeMap<u64, String>>>);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its output")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let store = match args.redis {
        Some(url) => Store::redis(RedisConfig::new(url), StoreConfig::default())?,
        None => Store::memory(StoreConfig::default()),
    };
    let served = CancellationToken::new();
    let hearing = tokio::spawn({
        let (store, served) = (store.clone(), served.clone());
        async move { store.run(served.cancelled_owned()).await }
    });

    let listener = TcpListener::bind(args.listen).await?;
    println!("http://{}/articles", listener.local_addr()?);
    let shutdown = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app(&store)?).with_graceful_shutdown(shutdown).await?;
    served.cancel();
    Ok(hearing.await?)
}

fn app(store: &Store) -> Result<Router, tramline_cache::Error> {
    let mut config = CacheConfig::new("pages");
    // While a new one is made, and for five minutes when that fails, the old page will do.
    config.policy = Policy::new(Duration::from_secs(60));
    config.policy.stale_for = Some(Duration::from_secs(300));
    config.policy.soft_timeout = Some(Duration::ZERO);
    config.policy.negative_ttl = Some(Duration::from_secs(5));
    let cache = HttpCacheLayer::new(store.cache(config)?, HttpCacheConfig::default(), rule)
        // Writing one changes the list, too. The page itself is ended without a word.
        .with_endings(|request| match route(request) {
            Some("/articles/{id}") => vec![Tag::of("list")],
            _ => Vec::new(),
        });
    Ok(Router::new()
        .route("/articles", get(list))
        .route("/articles/{id}", get(article).put(write))
        .route("/drafts", get(drafts))
        // Around the routes, so that the rule sees which one it is.
        .route_layer(cache)
        .with_state(Texts::default()))
}

/// What is cached: articles for all, whoever asks; drafts for their author.
fn rule(request: &Parts) -> Option<Scope> {
    match route(request)? {
        "/articles" => Some(Scope::public().without_credentials().with_tag(Tag::of("list"))),
        "/articles/{id}" => Some(Scope::public().without_credentials()),
        // Behind a proxy that has proved who it is.
        "/drafts" => Some(Scope::user(request.headers.get("x-user")?.to_str().ok()?)),
        _ => None,
    }
}

fn route(request: &Parts) -> Option<&str> {
    Some(request.extensions.get::<MatchedPath>()?.as_str())
}

async fn list(State(texts): State<Texts>) -> impl IntoResponse {
    let list: String = texts.lock().iter().map(|(id, text)| format!("{id} {text}\n")).collect();
    ([(header::CACHE_CONTROL, "public, max-age=30")], list)
}

async fn article(State(texts): State<Texts>, Path(id): Path<u64>) -> impl IntoResponse {
    match texts.lock().get(&id) {
        Some(text) => Ok(([(header::CACHE_CONTROL, "public, max-age=30")], text.clone())),
        None => Err(StatusCode::NOT_FOUND),
    }
}

async fn write(State(texts): State<Texts>, Path(id): Path<u64>, text: String) -> StatusCode {
    texts.lock().insert(id, text);
    StatusCode::NO_CONTENT
}

async fn drafts(headers: HeaderMap) -> impl IntoResponse {
    let user = headers.get("x-user").and_then(|user| user.to_str().ok()).unwrap_or("nobody");
    ([(header::CACHE_CONTROL, "private, max-age=10")], format!("Drafts of {user}\n"))
}

// === impl Texts ===

impl Texts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
