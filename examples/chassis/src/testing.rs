//! What tests of services need: an issuer of tokens, a shell on embedded engines, requests without ports.
//! Behind the feature `testing`.

use axum::Router;
use axum::body::Body;
use contracts::Role;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use tramline_event_hub::Hub;
use tramline_observability::Lifecycle;
use tramline_session_sync::{
    ClientInfo, Device, Grant, KeyFile, KeyRing, KeyRingConfig, KeySource, Revocations, Sessions,
    SessionsConfig, Store, User, Verifier, VerifierConfig,
};
use uuid::Uuid;

use crate::auth::Auth;
use crate::config::{Common, Process};
use crate::db::{Db, DbConfig};
use crate::shell::Shell;

/// Issues tokens of the real kind, with keys of its own.
#[derive(Clone, Debug)]
pub struct Issuer {
    sessions: Sessions,
    auth: Auth,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null when it is no JSON.
    pub json: Value,
}

// === impl Issuer ===

impl Issuer {
    /// An issuer with a new key.
    ///
    /// # Panics
    ///
    /// The memory store cannot fail.
    pub async fn new() -> Self {
        let store = Store::memory();
        let ring = KeyRing::open(&store, &KeyFile::generate(), KeyRingConfig::default())
            .await
            .expect("a memory store takes keys");
        let verifier =
            Verifier::new(VerifierConfig::default(), KeySource::ring(ring.clone()), Revocations::default());
        Self { sessions: Sessions::new(SessionsConfig::default(), store, ring), auth: Auth::new(verifier) }
    }

    /// What checks its tokens: for [`Shell::use_auth`].
    #[must_use]
    pub fn auth(&self) -> Auth {
        self.auth.clone()
    }

    /// Its sessions.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// An access token for a user called `name`, whose e-mail is `name@example.com`.
    ///
    /// # Panics
    ///
    /// The memory store cannot fail.
    pub async fn token(&self, id: Uuid, role: Role, name: &str) -> String {
        self.grant(id, role, name).await.access_token
    }

    /// A whole session for such a user.
    ///
    /// # Panics
    ///
    /// The memory store cannot fail.
    pub async fn grant(&self, id: Uuid, role: Role, name: &str) -> Grant {
        let user = User::new(id.to_string(), format!("{name}@example.com"), name, role.as_str());
        let opened = self.sessions.open(user, Device::new(None, None, None), ClientInfo::default()).await;
        opened.expect("a memory store opens sessions")
    }
}

/// A shell on a memory hub of its own. Must be called inside the runtime.
#[must_use]
pub fn shell(process: &Process) -> Shell {
    shell_on(process, Hub::memory(tramline_event_hub::MemoryConfig::default()))
}

/// A shell on a hub that others share.
#[must_use]
pub fn shell_on(process: &Process, hub: Hub) -> Shell {
    Shell::new(Common::embedded(process), hub, Lifecycle::new())
}

/// A SQLite database in a folder that goes with the test. Must be called inside the runtime.
///
/// # Panics
///
/// The system has no place for temporary files.
#[must_use]
pub fn sqlite() -> (Db, TempDir) {
    let folder = TempDir::new().expect("a place for temporary files");
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let config = DbConfig { durable: false, ..DbConfig::default() };
    (Db::open("TEST_DATABASE_URL", &url, &config).expect("a good URL"), folder)
}

/// Sends a request into a router, and reads the answer whole.
///
/// # Panics
///
/// `method` or `path` are none.
pub async fn send(
    router: &Router,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = match body {
        Some(json) => {
            request = request.header(CONTENT_TYPE, "application/json");
            Body::from(json.to_string())
        }
        None => Body::empty(),
    };
    answer(router, request.body(body).expect("a method and a path")).await
}

/// Sends any request into a router, and reads the answer whole.
pub async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Answer {
        status: parts.status,
        headers: parts.headers,
        json: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

// === impl Answer ===

impl Answer {
    /// The problem's code, or «».
    #[must_use]
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Where the problem says that it is wrong.
    #[must_use]
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }
}
