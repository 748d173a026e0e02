//! Pages that axum makes, kept in memory, or in memory over Redis.
//!
//! ```text
//! cargo run -p tramline-cache --example http --features tower -- [--listen 127.0.0.1:8080] [--redis redis://…]
//! curl -i http://127.0.0.1:8080/articles/7                          # server-timing: cache;desc=miss, then hit
//! curl -i -X PUT -d 'Another text' http://127.0.0.1:8080/articles/7 # ends it, and the list, in all processes
//! curl -i http://127.0.0.1:8080/articles
//! curl -i -u ada:secret http://127.0.0.1:8080/drafts                # hers only
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
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

/// Who has proved who it is.
#[derive(Clone, Copy)]
struct User(&'static str);

/// What they send who sign in by name and password: a real service looks it up, hashed.
const USERS: [(&str, User); 2] =
    [("Basic YWRhOnNlY3JldA==", User("ada")), ("Basic Ym9iOnNlY3JldA==", User("bob"))];

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
        // Outside of it: who it is, the rule must know.
        .layer(from_fn(signed_in))
        .with_state(Texts::default()))
}

/// What is cached: articles for all, whoever asks; drafts for their author.
fn rule(request: &Parts) -> Option<Scope> {
    match route(request)? {
        "/articles" => Some(Scope::public().without_credentials().with_tag(Tag::of("list"))),
        "/articles/{id}" => Some(Scope::public().without_credentials()),
        "/drafts" => Some(Scope::user(request.extensions.get::<User>()?.0)),
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

async fn drafts(user: Option<Extension<User>>) -> Response {
    match user {
        Some(Extension(User(name))) => {
            ([(header::CACHE_CONTROL, "private, max-age=10")], format!("Drafts of {name}\n")).into_response()
        }
        None => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic")]).into_response(),
    }
}

/// Says who it is to those inside: an extension, which no client can send.
async fn signed_in(mut request: Request, next: Next) -> Response {
    let said = request.headers().get(header::AUTHORIZATION);
    let user = said.and_then(|said| USERS.into_iter().find(|(sent, _)| said == *sent));
    if let Some((_, user)) = user {
        request.extensions_mut().insert(user);
    }
    next.run(request).await
}

// === impl Texts ===

impl Texts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
