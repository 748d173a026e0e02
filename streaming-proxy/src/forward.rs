//! The life of one request: checked, prepared, sent, answered.

mod attempt;
mod send;
mod spare;
mod trail;
mod watched;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout_at};

use crate::body::ProxyBody;
use crate::body::download::{Accounts, Download, Exchange};
use crate::body::upload::Upload;
use crate::config::{HostHeader, ProxyConfig};
use crate::error::{ErrorKind, ProxyError};
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

/// A request ready for any address of its upstream.
struct Prepared {
    request: Request<Upload>,
    upgrading: Option<(Upgrading, Permit)>,
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

pub(crate) async fn forward(
    shared: &Shared,
    parts: Parts,
    upload: Upload,
    upgrading: Option<Upgrading>,
) -> Result<Response<ProxyBody>, ProxyError> {
    let routes = shared.routes.load_full();
    let journal = parts.extensions.get::<Journal>().cloned();
    let refused = |error: &ProxyError| {
        metrics::refused(error);
        if let Some(journal) = &journal {
            journal.ended(error.kind().label());
        }
    };
    let found = Found::new(&parts, shared, &routes).inspect_err(refused)?;
    if max_forwards::is_over(&parts.method, &parts.headers).inspect_err(refused)? {
        metrics::answered_here();
        return Ok(max_forwards::answer());
    }
    let route = found.matched.route();
    let upstream = &route.upstream;
    let key = key::key(&upstream.config().balance, &parts.headers, || {
        let peer = parts.extensions.get::<Peer>()?;
        Some(shared.config.trusted.client(&parts.headers, peer.addr.ip()))
    });
    let total = route.timeouts.total.map(|limit| Instant::now() + limit);
    let metrics = found.matched.metrics();
    if let Some(journal) = &journal {
        journal.note(|facts| {
            (facts.route, facts.upstream) =
                (Some(metrics.route().clone()), Some(upstream.shared_name().clone()));
        });
    }
    let mut accounts = Accounts::new(metrics, journal.clone());
    let mut trail = Trail::new(journal);
    let answered = async {
        let Prepared { request, upgrading } = prepare(shared, &found, parts, upload, upgrading)?;
        let sending = send::send(route, &shared.config, &shared.replay, request, key, &mut trail);
        let answered = match total {
            Some(deadline) => timeout_at(deadline, sending)
                .await
                .unwrap_or_else(|_| Err(ProxyError::new(ErrorKind::TotalTimeout)))?,
            None => sending.await?,
        };
        let upgrading = check_switch(&answered.response, upgrading)?;
        Ok((answered, upgrading))
    };
    let answered: Result<_, ProxyError> = answered.await;
    trail.over();
    let (answered, upgrading) = match answered {
        Ok(answered) => answered,
        Err(error) => {
            accounts.end(Outcome::Failed(error.kind()));
            return Err(error.when(trail.stage(), trail.sent()).at(upstream.shared_name()));
        }
    };
    let attempt::Answered { mut response, turn, mut channel, upload, .. } = answered;
    accounts.expect(response.status().is_server_error());
    let scan = Scan::of_answer(response.headers());
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

// === impl Found ===

impl<'a> Found<'a> {
    fn new(parts: &Parts, shared: &Shared, routes: &'a Routes) -> Result<Self, ProxyError> {
        let scan = Scan::of(&parts.headers);
        let authority = framing::check(parts, scan, shared.config.max_head)?;
        if scan.has(Seen::Via)
            && let Some(via) = &shared.via
        {
            via.check(&parts.headers)?;
        }
        let path = path::normal(parts.uri.path())?;
        let host = authority.as_ref().map(Authority::host);
        let matched = routes.find(host, &path, &parts.method, &parts.headers)?;
        let target = matched.target(&parts.uri, &path)?;
        Ok(Self { authority, scan, matched, target })
    }
}

/// What the upstream gets to see, but for what depends on its address.
fn prepare(
    shared: &Shared,
    found: &Found<'_>,
    mut parts: Parts,
    upload: Upload,
    upgrading: Option<Upgrading>,
) -> Result<Prepared, ProxyError> {
    let (scan, authority, route) = (found.scan, found.authority.as_ref(), found.matched.route());
    let upgrading = upgrading.filter(|upgrading| is_granted(&shared.config, &parts, &upload, upgrading));
    let upgrading = match upgrading {
        Some(upgrading) => Some((upgrading, shared.tunnels.permit(&route.upstream)?)),
        None => None,
    };
    let peer = parts.extensions.get::<Peer>().copied();
    // Extensions are between the layers of this process.
    parts.extensions.clear();
    parts.uri = Uri::from(found.target.clone());

    let headers = &mut parts.headers;
    // ORDER: first take away, then add, or a client could take away what is added.
    let trailers = hop::strip_request(headers, scan)?;
    cookies::join(headers);
    forwarded::apply(headers, scan, peer.as_ref(), authority, &shared.config.trusted);
    max_forwards::count(&parts.method, headers)?;
    if scan.has(Seen::Expect) {
        expect::keep_or_remove(headers, parts.version, !upload.is_empty());
    }
    if let Some(via) = &shared.via {
        via.add(headers, parts.version, scan.has(Seen::Via));
    }
    parts.version = Version::HTTP_11;
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
    check_whole(headers, &upload)?;
    if !upload.is_empty() && !headers.contains_key(CONTENT_LENGTH) {
        // hyper would send a GET without its chunked body, and the rest would be read as another request.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let upload = upload.with_idle(route.timeouts.request_idle);
    Ok(Prepared { request: Request::from_parts(parts, upload), upgrading })
}

/// Only what is on the list becomes a tunnel; anything else is an ordinary request without the wish.
fn is_granted(config: &ProxyConfig, parts: &Parts, upload: &Upload, upgrading: &Upgrading) -> bool {
    let wanted = upgrading.protocol.as_bytes();
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && upload.is_empty()
        && config.upgrades.iter().any(|protocol| protocol.as_bytes().eq_ignore_ascii_case(wanted))
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
fn check_whole(headers: &HeaderMap, upload: &Upload) -> Result<(), ProxyError> {
    // INVARIANT: `framing::check` let at most one pass, and only digits.
    let promised = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match (promised, http_body::Body::size_hint(upload).exact()) {
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
