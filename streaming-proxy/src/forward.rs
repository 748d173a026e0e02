//! The life of one request: checked, prepared, sent, answered.

mod attempt;
pub(crate) mod outgoing;
mod send;
mod trail;
mod watched;

use std::pin::pin;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout_at};

use crate::body::ProxyBody;
use crate::body::download::{Accounts, Download, Exchange};
use crate::body::upload::Upload;
use crate::config::{HostHeader, ProxyConfig};
use crate::error::{ErrorKind, ProxyError};
use crate::forward::attempt::Answered;
use crate::forward::outgoing::Outgoing;
use crate::forward::trail::Trail;
use crate::forwarder::Shared;
use crate::headers::location::Places;
use crate::headers::scan::{Scan, Seen};
use crate::headers::{answer, cookies, expect, forwarded, framing, hop, max_forwards};
use crate::journal::Journal;
use crate::metrics::{self, Outcome};
use crate::path;
use crate::route::{Matched, Routes};
use crate::trust::Peer;
use crate::upgrade::Permit;
use crate::upstream::balance::key;

/// A client's wish to speak another protocol.
#[derive(Debug)]
pub(crate) struct Upgrading {
    /// Its connection, once it has been told that the wish is granted.
    pub(crate) client: OnUpgrade,
    pub(crate) protocol: HeaderValue,
}

/// What was found out about a request that is not refused.
struct Found<'a> {
    authority: Option<Authority>,
    scan: Scan,
    matched: Matched<'a>,
    /// What its upstream is asked for.
    target: PathAndQuery,
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Sends what is `outgoing` to where it belongs.
pub(crate) async fn forward(
    shared: &Shared,
    outgoing: &mut Outgoing,
) -> Result<Response<ProxyBody>, ProxyError> {
    let routes = shared.routes.load_full();
    let request = outgoing.request();
    let journal = request.extensions().get::<Journal>().cloned();
    let refused = |error: &ProxyError| {
        metrics::refused(error);
        if let Some(journal) = &journal {
            journal.ended(error.kind().label());
        }
    };
    let found = Found::new(request, shared, &routes).inspect_err(refused)?;
    if max_forwards::is_over(request.method(), request.headers()).inspect_err(refused)? {
        metrics::answered_here();
        return Ok(max_forwards::answer());
    }
    let route = found.matched.route();
    let upstream = &route.upstream;
    let metrics = found.matched.metrics();
    if let Some(journal) = &journal {
        journal.note(|facts| {
            (facts.route, facts.upstream) =
                (Some(metrics.route().clone()), Some(upstream.shared_name().clone()));
        });
    }
    let mut accounts = Accounts::new(metrics, journal.clone());
    let mut trail = Trail::new(journal);
    let total = route.timeouts.total.map(|limit| Instant::now() + limit);
    let answered = exchange(shared, &found, outgoing, total, &mut trail).await;
    trail.over();
    let (answered, upgrading) = match answered {
        Ok(answered) => answered,
        Err(error) => {
            accounts.end(Outcome::Failed(error.kind()));
            return Err(error.when(trail.stage(), trail.sent()).at(upstream.shared_name()));
        }
    };
    let Answered { mut response, scan, turn, mut channel, upload, .. } = answered;
    accounts.expect(response.status().is_server_error());
    if scan.has(Seen::Hop)
        && let Some(seconds) = keep_alive_seconds(response.headers())
    {
        channel.keep_at_most(seconds);
    }
    hop::strip_response(response.headers_mut(), scan);
    let places = Places { upstream: turn.endpoint().authority(), client: found.authority.as_ref() };
    answer::rewrite(response.headers_mut(), scan, found.matched, places);
    let exchange = Exchange { turn, channel: Some(channel), upload, accounts };
    if let Some(via) = &shared.via {
        let version = response.version();
        via.add(response.headers_mut(), version, scan.has(Seen::Via));
    }
    if let Some((upgrading, permit)) = upgrading {
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrading.protocol);
        let other = hyper::upgrade::on(&mut response);
        shared.tunnels.spawn(upgrading.client, other, exchange, permit);
        return Ok(finish(response, |_| ProxyBody::empty()));
    }
    let name = upstream.shared_name().clone();
    let idle = route.timeouts.response_idle;
    let absent = absent_length(&response);
    Ok(finish(response, |body| {
        let download = Download::new(body, exchange, name, idle, total);
        absent.map_or_else(|| ProxyBody::download(download), ProxyBody::absent)
    }))
}

/// Sends it, and waits until `total` at most for the head of an answer that it can be given.
async fn exchange(
    shared: &Shared,
    found: &Found<'_>,
    outgoing: &mut Outgoing,
    total: Option<Instant>,
    trail: &mut Trail,
) -> Result<(Answered, Option<(Upgrading, Permit)>), ProxyError> {
    let route = found.matched.route();
    let request = outgoing.request();
    let key = key::key(&route.upstream.config().balance, request.headers(), || {
        let peer = request.extensions().get::<Peer>()?;
        Some(shared.config.trusted.client(request.headers(), peer.addr.ip()))
    });
    let upgrading = prepare(shared, found, outgoing.request_mut())?;
    outgoing.limit_idle(route.timeouts.request_idle);
    outgoing.is_upgrade = upgrading.is_some();
    let mut sending = pin!(send::send(route, &shared.config, &shared.replay, outgoing, key, trail));
    let answered = match total {
        Some(deadline) => timeout_at(deadline, sending.as_mut())
            .await
            .unwrap_or_else(|_| Err(ProxyError::new(ErrorKind::TotalTimeout)))?,
        None => sending.as_mut().await?,
    };
    let upgrading = check_switch(&answered.response, upgrading)?;
    Ok((answered, upgrading))
}

// === impl Found ===

impl<'a> Found<'a> {
    fn new(request: &Request<Upload>, shared: &Shared, routes: &'a Routes) -> Result<Self, ProxyError> {
        let headers = request.headers();
        let scan = Scan::of(headers);
        let authority = framing::check(request, scan, shared.config.max_head)?;
        if scan.has(Seen::Via)
            && let Some(via) = &shared.via
        {
            via.check(headers)?;
        }
        let path = path::normal(request.uri().path())?;
        let host = authority.as_ref().map(framing::host);
        let matched = routes.find(host, &path, request.method(), headers)?;
        let target = matched.target(request.uri(), &path)?;
        Ok(Self { authority, scan, matched, target })
    }
}

/// Makes of a request what the upstream gets to see, but for what depends on its address.
fn prepare(
    shared: &Shared,
    found: &Found<'_>,
    request: &mut Request<Upload>,
) -> Result<Option<(Upgrading, Permit)>, ProxyError> {
    let (scan, authority, route) = (found.scan, found.authority.as_ref(), found.matched.route());
    let upgrading = match granted(&shared.config, request, scan) {
        Some(protocol) => {
            let permit = shared.tunnels.permit(&route.upstream)?;
            Some((Upgrading { client: hyper::upgrade::on(&mut *request), protocol }, permit))
        }
        None => None,
    };
    let peer = request.extensions().get::<Peer>().copied();
    // Extensions are between the layers of this process.
    request.extensions_mut().clear();
    *request.uri_mut() = Uri::from(found.target.clone());
    let version = std::mem::replace(request.version_mut(), Version::HTTP_11);
    let is_options = request.method() == Method::OPTIONS;
    let (has_body, length) = (!request.body().is_empty(), request.body().size_hint().exact());

    let headers = request.headers_mut();
    // ORDER: first take away, then add, or a client could take away what is added.
    let trailers = hop::strip_request(headers, scan)?;
    if scan.has(Seen::Cookie) {
        cookies::join(headers);
    }
    forwarded::apply(headers, scan, peer.as_ref(), authority, &shared.config.trusted);
    if is_options {
        max_forwards::count(headers)?;
    }
    if scan.has(Seen::Expect) {
        expect::keep_or_remove(headers, version, has_body);
    }
    if let Some(via) = &shared.via {
        via.add(headers, version, scan.has(Seen::Via));
    }
    if shared.config.host == HostHeader::Preserve
        && !headers.contains_key(HOST)
        && let Some(authority) = authority
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, value);
    }
    if let Some((upgrading, _)) = &upgrading {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrading.protocol.clone());
    } else if trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if scan.has(Seen::Length) {
        check_whole(headers, length)?;
    }
    if has_body && !scan.has(Seen::Length) {
        // hyper would send a GET without its chunked body, and the rest would be read as another request.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(upgrading)
}

/// The protocol that a request wishes to speak, if it may become a tunnel. Any other wish is ignored, and the request
/// is an ordinary one.
fn granted(config: &ProxyConfig, request: &Request<Upload>, scan: Scan) -> Option<HeaderValue> {
    if !(scan.has(Seen::Connection) && scan.has(Seen::Hop)) {
        return None;
    }
    let wanted = hop::upgrade(request.headers())?;
    let is_plain = request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && request.body().is_empty()
        && config.upgrades.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()));
    is_plain.then(|| wanted.clone())
}

/// The upgrade that the answer completes, if any; a switch that nobody asked for is refused.
fn check_switch(
    response: &Response<Incoming>,
    upgrading: Option<(Upgrading, Permit)>,
) -> Result<Option<(Upgrading, Permit)>, ProxyError> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let Some((upgrading, permit)) = upgrading else {
        return Err(
            ProxyError::new(ErrorKind::BadResponse).because("a switch of protocols that nobody asked for")
        );
    };
    let agreed = hop::upgrade(response.headers())
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(upgrading.protocol.as_bytes()));
    if agreed {
        Ok(Some((upgrading, permit)))
    } else {
        Err(ProxyError::new(ErrorKind::BadResponse).because("a switch to another protocol"))
    }
}

/// A head that promises more than the body has would leave the upstream waiting, and then reading the next request.
fn check_whole(headers: &HeaderMap, has: Option<u64>) -> Result<(), ProxyError> {
    // INVARIANT: `framing::check` let at most one pass, and only digits.
    let promised = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match (promised, has) {
        (Some(promised), Some(has)) if promised != has => Err(ProxyError::new(ErrorKind::BodyTaken)),
        _ => Ok(()),
    }
}

fn finish(response: Response<Incoming>, body: impl FnOnce(Incoming) -> ProxyBody) -> Response<ProxyBody> {
    let (mut parts, incoming) = response.into_parts();
    parts.extensions.clear();
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, body(incoming))
}

/// The length that a 304 states of the body that it stands for.
fn absent_length(response: &Response<Incoming>) -> Option<u64> {
    if response.status() != StatusCode::NOT_MODIFIED {
        return None;
    }
    let mut lengths = response.headers().get_all(CONTENT_LENGTH).iter();
    let length = lengths.next().filter(|_| lengths.next().is_none())?.to_str().ok()?;
    length.bytes().all(|byte| byte.is_ascii_digit()).then(|| length.parse().ok())?
}

fn keep_alive_seconds(headers: &HeaderMap) -> Option<u64> {
    hop::tokens(headers, &KEEP_ALIVE).find_map(|token| {
        let text = std::str::from_utf8(token).ok()?;
        let (name, value) = text.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().parse().ok())?
    })
}
