//! From an HTTP request to a connection.

mod tcp;

use std::borrow::Cow;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::auth::{Credential, PeerInfo};
use crate::config::RoomsConfig;
use crate::protocol::SUBPROTOCOL;
use crate::refusal::Refusal;
use crate::rooms::Rooms;

use self::tcp::Tcp;

/// How long the server below us may take to hand the socket over after the 101.
pub(crate) const HANDOVER: Duration = Duration::from_secs(10);

/// What a request says, without the request.
struct Handshake {
    credential: Option<Credential>,
    origin_allowed: bool,
    /// `Err` when this is no handshake that we speak.
    key: Result<Accepted, &'static str>,
}

pub(crate) struct Accepted {
    accept: HeaderValue,
    /// The client named subprotocols, so ours is answered.
    named: bool,
}

impl Rooms {
    /// Answers `GET /ws`: opens a connection and returns its 101, or says why not.
    ///
    /// In order: drain, origin, the address's limit, whether the backplane is there, then the credential, the user's
    /// limit, and last whether it is a handshake at all, so that a plain `GET` of the same URL tells a
    /// browser why its socket was refused, and 426 when nothing is wrong. The credential never
    /// appears in the answer or in a log. A ticket that was looked at is used up whatever the answer is.
    ///
    /// The connection runs on a task of its own, which [`Rooms::drain`] waits for.
    ///
    /// # Errors
    ///
    /// The [`Refusal`]; [`Refusal::apply_headers`] has its headers.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind when dropped before it returns.
    pub async fn upgrade<B>(&self, mut request: Request<B>, peer: PeerInfo) -> Result<Response<()>, Refusal> {
        let handshake = Handshake::read(&request, &self.node.config);
        let upgrade = hyper::upgrade::on(&mut request);
        drop(request);
        let result = self.answer(handshake, upgrade, peer).await;
        if let Err(refusal) = &result {
            self.node.metrics.refused(refusal.code);
        }
        result
    }

    async fn answer(
        &self,
        handshake: Handshake,
        upgrade: hyper::upgrade::OnUpgrade,
        peer: PeerInfo,
    ) -> Result<Response<()>, Refusal> {
        let node = &self.node;
        if self.is_draining() {
            let delay = node.config.drain_spread.mul_f64(rand::random::<f64>());
            return Err(Refusal::unavailable("this node is going down", delay));
        }
        if !handshake.origin_allowed {
            return Err(Refusal::forbidden("this origin may not connect"));
        }
        let place = node.reserve(peer.addr)?;
        let credential = handshake.credential.ok_or_else(Refusal::unauthenticated)?;
        let admission = node.admit(credential, peer, place).await?;
        let accepted = handshake.key.map_err(Refusal::upgrade_required)?;
        node.tasks.spawn(async move {
            // Boxed: a connection's task does not carry the timer of its opening.
            let handed_over = Box::pin(timeout(HANDOVER, upgrade)).await;
            match handed_over {
                Ok(Ok(upgraded)) => match Tcp::unbox(upgraded) {
                    Ok(io) => _ = admission.serve(io).await,
                    Err(upgraded) => _ = admission.serve(TokioIo::new(upgraded)).await,
                },
                Ok(Err(error)) => tracing::debug!(%error, "socket not handed over"),
                Err(_) => tracing::debug!("socket not handed over in time"),
            }
        });
        Ok(accepted.response())
    }
}

// === impl Handshake ===

impl Handshake {
    fn read<B>(request: &Request<B>, config: &RoomsConfig) -> Self {
        let headers = request.headers();
        let (named, bearer) = subprotocols(headers);
        let query = request.uri().query().unwrap_or_default();
        let credential = bearer
            .or_else(|| authorization(headers))
            .map(Credential::Bearer)
            .or_else(|| parameter(query, "ticket").map(Credential::Ticket))
            .or_else(|| {
                let token = parameter(query, "token").filter(|_| config.query_token);
                token.map(Credential::Bearer)
            });
        Self {
            credential,
            origin_allowed: origin_allowed(headers, &config.origins),
            key: accept(request, named),
        }
    }
}

// === impl Accepted ===

impl Accepted {
    pub(crate) fn response(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if self.named {
            // Only the version: echoing the bearer entry would leak it.
            let name = HeaderValue::from_static(SUBPROTOCOL);
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
        }
        response
    }
}

/// Whether the request's handshake is one of RFC 6455, and for our subprotocol if subprotocols are `named`.
pub(crate) fn accept<B>(request: &Request<B>, named: Option<bool>) -> Result<Accepted, &'static str> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err("a WebSocket is opened by GET over HTTP/1.1");
    }
    if !has_token(headers, &header::CONNECTION, "upgrade")
        || !has_token(headers, &header::UPGRADE, "websocket")
    {
        return Err("this is a WebSocket: ask for an upgrade");
    }
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    if versions.next().is_none_or(|version| version != "13") || versions.next().is_some() {
        return Err("WebSocket version 13 is needed");
    }
    let named = match named {
        Some(true) => true,
        // Programs may leave the header out; then none is answered.
        None => false,
        Some(false) => return Err("the subprotocol is tramline.v1"),
    };
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err("one Sec-WebSocket-Key is needed");
    };
    // 16 bytes in base64.
    let nonce = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key.as_bytes());
    if nonce.map(|nonce| nonce.len()) != Ok(16) {
        return Err("Sec-WebSocket-Key is not valid");
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| "Sec-WebSocket-Key is not valid")?;
    Ok(Accepted { accept, named })
}

/// Whether subprotocols are named and ours is among them, and the token if one is.
fn subprotocols(headers: &HeaderMap) -> (Option<bool>, Option<String>) {
    let (mut named, mut bearer) = (None, None);
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        for entry in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            named = Some(named.unwrap_or(false) || entry == SUBPROTOCOL);
            if let Some(token) = entry.strip_prefix("bearer.")
                && !token.is_empty()
            {
                bearer.get_or_insert_with(|| token.to_owned());
            }
        }
    }
    (named, bearer)
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// A query parameter. Tokens and tickets are made of characters that need no escape, but a
/// client's library may escape them all the same.
fn parameter(query: &str, name: &str) -> Option<String> {
    let (_, value) =
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?;
    let value = unescape(value)?;
    (!value.is_empty()).then(|| value.into_owned())
}

fn unescape(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('%') {
        return Some(Cow::Borrowed(value));
    }
    let mut bytes = value.bytes();
    let mut plain = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => true,
        // Exactly as listed, and never «null», even if someone lists it.
        (Some(origin), None) => origin != "null" && allowed.iter().any(|allowed| origin == allowed.as_str()),
        (Some(_), Some(_)) => false,
    }
}

fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|entry| entry.trim().eq_ignore_ascii_case(token))
}
