//! A gateway under test, and what stands behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use chassis::config::{Common, ConfigError, Process};
use chassis::problem::{Code, Problem};
use chassis::service::{ServeConfig, serve};
use chassis::testing::Issuer;
use chassis::{Service, Shell};
use contracts::Role;
use futures_util::stream;
use gateway::{Config, Deps, RateLimits, Upstreams, build};
use http::{HeaderMap, StatusCode};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tramline_cache::{Store, StoreConfig};
use tramline_event_hub::{Event, Hub, MemoryConfig};
use tramline_observability::Lifecycle;
use tramline_session_sync::tickets::{Tickets, TicketsConfig};
use tramline_streaming_proxy::edge::tls::Tls;
use tramline_streaming_proxy::layer::rate_limit::Quota;
use tramline_streaming_proxy::server::{self, ServerConfig};
use tramline_ws_rooms::Backplane;
use tramline_ws_rooms::client::{Client as Socket, Options, Refused};
use uuid::Uuid;

/// Nothing here takes this long on a busy machine; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The page that may call.
pub(crate) const ORIGIN: &str = "https://app.example.com";

/// Services of the test's own: all four at one address, which tells what it was asked.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) well: Arc<Mutex<bool>>,
    /// The payments that `GET /api/payments/{id}` shows to those who have a token.
    pub(crate) payments: Arc<Mutex<Vec<Uuid>>>,
    /// The payments that it shows to these tokens alone.
    pub(crate) private: Arc<Mutex<Vec<(Uuid, String)>>>,
    /// Each permit lets one more event of `GET /api/payments/events` out.
    pub(crate) events: Arc<Semaphore>,
    task: Arc<JoinHandle<()>>,
}

/// A request as a service saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// What a test wants otherwise.
pub(crate) struct Setup {
    pub(crate) limits: RateLimits,
    pub(crate) trusted: &'static str,
    pub(crate) profile: Option<String>,
    pub(crate) routes_file: Option<std::path::PathBuf>,
    pub(crate) tls: Option<Tls>,
    pub(crate) backplane: Option<Backplane>,
}

pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) addr: SocketAddr,
    pub(crate) services: Services,
    pub(crate) issuer: Issuer,
    pub(crate) tickets: Tickets,
    pub(crate) hub: Hub,
    pub(crate) client: Client,
    pub(crate) service: Service,
    feed: String,
    stop: oneshot::Sender<()>,
    run: JoinHandle<chassis::service::End>,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Services {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener)
    }

    pub(crate) fn serve(listener: TcpListener) -> Self {
        let addr = listener.local_addr().unwrap();
        let mut services = Self {
            addr,
            seen: Arc::default(),
            well: Arc::new(Mutex::new(true)),
            payments: Arc::default(),
            private: Arc::default(),
            events: Arc::new(Semaphore::new(0)),
            task: Arc::new(tokio::spawn(async {})),
        };
        let router = Router::new().fallback(any(answer)).with_state(services.clone());
        // Like the system's own services it reads on after an early answer, or a gateway that still sends would lose it.
        let serving = server::serve(listener, router, ServerConfig::default(), std::future::pending::<()>());
        services.task = Arc::new(tokio::spawn(serving));
        services
    }

    fn shows(&self, payment: Uuid, bearer: Option<&str>) -> bool {
        let token = bearer.and_then(|bearer| bearer.strip_prefix("Bearer "));
        let of_token = |(id, party): &(Uuid, String)| *id == payment && Some(&**party) == token;
        self.payments.lock().unwrap().contains(&payment) || self.private.lock().unwrap().iter().any(of_token)
    }

    /// What was asked of this path.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: RateLimits { api: None, auth: None, statics: None },
            trusted: "none",
            profile: None,
            routes_file: None,
            tls: None,
            backplane: None,
        }
    }
}

/// The fakes' answers, by path.
async fn answer(State(services): State<Services>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let headers = parts.headers;
    services.seen.lock().unwrap().push(Seen { path: path.clone(), headers: headers.clone() });
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let length: u64 = text("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let too_large = || {
        Problem::new(Code::BODY_TOO_LARGE, "the body is above the limit")
            .render(Some(&path), text("x-request-id"))
    };
    match path.as_str() {
        "/health" => {
            let well = *services.well.lock().unwrap();
            let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(json!({ "status": "?" }))).into_response()
        }
        // What comes in goes out, as it comes.
        "/api/payments/echo" => Response::new(Body::new(body)),
        // A stream of events, each of which comes when it may.
        "/api/payments/events" => {
            let events = stream::unfold((0, services.events.clone()), async |(count, gate)| {
                gate.acquire().await.ok()?.forget();
                Some((Ok::<_, Infallible>(format!("data: {count}\n\n")), (count + 1, gate)))
            });
            ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
        }
        "/api/profile/avatar" => {
            let limit = 6 * 1024 * 1024;
            match axum::body::to_bytes(body, limit).await {
                Ok(bytes) => Json(json!({ "length": bytes.len() })).into_response(),
                Err(_) => too_large(),
            }
        }
        // As a service does that looks at the length before it reads.
        "/api/auth/login" if length > 64 * 1024 => too_large(),
        "/api/profile/never" => std::future::pending().await,
        "/api/payments/refused" => {
            let problem =
                json!({ "status": 422, "code": "SELF_PAYMENT", "instance": "/theirs", "requestId": "r" });
            let headers = [
                ("content-type", "application/problem+json"),
                ("x-own", "kept"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "x-secret"),
            ];
            (StatusCode::UNPROCESSABLE_ENTITY, headers, problem.to_string()).into_response()
        }
        "/api/auth/refresh" => (StatusCode::OK, [("ratelimit", "\"session\";r=9;t=6")], "{}").into_response(),
        _ => match path.strip_prefix("/api/payments/").and_then(|id| id.parse::<Uuid>().ok()) {
            Some(id) if !services.shows(id, text("authorization")) => StatusCode::NOT_FOUND.into_response(),
            _ => Json(json!({ "path": path })).into_response(),
        },
    }
}

impl World {
    pub(crate) async fn start(setup: Setup) -> Self {
        Self::try_start(setup).await.unwrap()
    }

    /// A world, unless the gateway cannot be built.
    pub(crate) async fn try_start(setup: Setup) -> Result<Self, ConfigError> {
        let services = Services::start().await;
        let issuer = Issuer::new().await;
        let tickets = Tickets::memory(TicketsConfig::default());
        let hub = Hub::memory(MemoryConfig::default());
        let lifecycle = Lifecycle::new();
        let mut common = Common::embedded(&Process::gateway());
        common.trusted_proxies = setup.trusted.parse().unwrap();
        let feed = contracts::gateway_feed(&common.instance_id).name;
        let shell = Shell::new(common, hub.clone(), lifecycle.clone());
        shell.use_auth(issuer.auth());

        let url = format!("http://{}", services.addr);
        let upstreams = Upstreams {
            auth: url.clone(),
            payments: url.clone(),
            admin: url.clone(),
            profile: setup.profile.unwrap_or(url),
        };
        let mut config = Config::new(upstreams, vec![ORIGIN.to_owned()], setup.limits);
        config.routes_file = setup.routes_file;
        let mut deps = Deps::new(shell, Store::memory(StoreConfig::default()), Some(tickets.clone()), None);
        deps.backplane = setup.backplane.unwrap_or_else(Backplane::memory);
        let service = build(config, deps)?;

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let health = service.clone();
        let run = tokio::spawn(async move {
            let mut config = ServeConfig::default();
            config.accept.tls = setup.tls;
            config.drain_timeout = Duration::from_secs(10);
            let shutdown = async {
                let _ = stopped.await;
            };
            serve(vec![(service, listener)], config, &lifecycle, shutdown).await
        });
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{addr}");
        let service = health.clone();
        let world = Self { url, addr, services, issuer, tickets, hub, client, service, feed, stop, run };
        until("the gateway is ready", async || health.is_well().await.then_some(())).await;
        let heard = async || {
            let feed = world.hub.queue(&world.feed).await.ok().flatten();
            feed.filter(|feed| feed.consumers > 0).map(drop)
        };
        until("the feed is heard", heard).await;
        Ok(world)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        Answer { status, headers, json: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    pub(crate) async fn token(&self, id: Uuid, role: Role) -> String {
        self.issuer.token(id, role, "someone").await
    }

    /// A socket as a program opens it, its `welcome` read.
    pub(crate) async fn socket(&self, token: &str) -> Socket {
        let mut socket = self.connect("", Options::bearer(token)).await.unwrap();
        assert_eq!(frame(&mut socket).await["type"], "welcome");
        socket
    }

    /// A socket, or the problem that its upgrade was refused with.
    pub(crate) async fn connect(&self, query: &str, options: Options) -> Result<Socket, (u16, Value)> {
        Socket::connect(&format!("ws://{}/ws{query}", self.addr), options).await.map_err(|error| {
            let source =
                std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Refused>());
            let refused = source.unwrap_or_else(|| panic!("{error:?}"));
            (refused.status, serde_json::from_str(&refused.body).unwrap_or_default())
        })
    }

    pub(crate) async fn publish(&self, event: &Event) {
        self.hub.publish(event).await.unwrap();
    }

    /// Drains; everyone must leave in time.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        let end = tokio::time::timeout(PATIENCE, self.run).await.unwrap().unwrap();
        assert!(end.report.aborted.is_empty(), "{:?}", end.report);
        assert!(end.failed.is_none());
    }
}

impl Answer {
    /// Checks that it is this problem, whole as the contract wants it.
    pub(crate) fn is_problem(&self, status: u16, code: &str, path: &str) {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{}", self.json);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json["instance"], path);
        let id = self.json["requestId"].as_str().unwrap();
        assert_eq!(self.headers["x-request-id"], id);
        assert!(self.headers.contains_key("traceparent"));
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(crate) fn quota(text: &str) -> Option<Quota> {
    Quota::parse(text).unwrap()
}

/// The next frame.
pub(crate) async fn frame(socket: &mut Socket) -> Value {
    let text = tokio::time::timeout(PATIENCE, socket.next_text()).await.expect("a frame in time").unwrap();
    let text = text.unwrap_or_else(|| panic!("closed with {:?}", socket.close_code()));
    serde_json::from_str(&text).unwrap()
}

/// The next frame that has this type, others passed over.
pub(crate) async fn frame_of(socket: &mut Socket, kind: &str) -> Value {
    let reading = async {
        loop {
            let frame = frame(socket).await;
            if frame["type"] == kind {
                return frame;
            }
        }
    };
    // The whole of it: others may come for ever.
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("never: {kind}"))
}

/// Reads to the end; gives what came and the close code.
pub(crate) async fn closed(mut socket: Socket) -> (Vec<Value>, u16) {
    let reading = async {
        let mut frames = Vec::new();
        while let Some(text) = socket.next_text().await.unwrap() {
            frames.push(serde_json::from_str(&text).unwrap());
        }
        (frames, socket.close_code().expect("a close frame"))
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("closed in time")
}

/// Asks until the answer is there, for what only a question can show.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never: {what}"))
}
