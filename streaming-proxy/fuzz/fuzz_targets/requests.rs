//! Whatever a client sends: the upstream gets what can be read in one way only, and what a strict reader sees in the
//! client's bytes is what the upstream sees, message for message.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tramline_streaming_proxy::path;
use tramline_streaming_proxy_fuzz::bed::{Bed, PLAIN};
use tramline_streaming_proxy_fuzz::strict::{self, Kind, Message, Read};

static BED: LazyLock<Bed> = LazyLock::new(Bed::start);

/// Fields that end at a hop, or that the proxy writes itself.
const ENDED: &[&str] =
    &["keep-alive", "proxy-connection", "proxy-authorization", "x_forwarded_for", "x-forwarded_for"];

fuzz_target!(|bytes: &[u8]| {
    let came = BED.send(bytes, None, |_| b"");
    came.seen.iter().for_each(is_plain);

    let (sent, junk) = sent(bytes);
    // Each of them names the version, so nothing that was data has become a request.
    let versions = bytes.windows(6).filter(|six| six.eq_ignore_ascii_case(b"HTTP/1")).count();
    assert!(came.seen.len() <= versions, "{} requests from {versions}", came.seen.len());
    let mut expected = sent.iter();
    for (count, seen) in came.seen.iter().enumerate() {
        // Some were refused, none was changed, and their order is the client's.
        if !expected.any(|sent| is_same(sent, seen)) {
            assert!(junk && count >= sent.len().min(count), "nobody sent {seen:?}; sent were {sent:?}");
            break;
        }
    }
    answers(&came.answered, &sent, junk);
});

/// The requests that a strict reader sees, and whether something follows that it does not understand.
fn sent(mut bytes: &[u8]) -> (Vec<Message>, bool) {
    let mut sent = Vec::new();
    loop {
        match strict::read(Kind::Request, bytes) {
            Read::Whole(message, rest) => {
                sent.push(message);
                bytes = rest;
            }
            Read::Part => return (sent, false),
            Read::Wrong(_) => return (sent, true),
        }
    }
}

/// What the upstream got as `seen` is what the client sent as `sent`.
fn is_same(sent: &Message, seen: &Message) -> bool {
    // A fragment is no part of it, wherever it stands.
    let target = sent.word(1).split('#').next().unwrap_or_default();
    let target = match target.split_once("://").filter(|_| !target.starts_with('/')) {
        Some((_, rest)) => rest.find(['/', '?']).map_or("/", |start| &rest[start..]),
        None => target,
    };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Ok(path) = path::normal(if path.is_empty() { "/" } else { path }) else { return false };
    let target = query.map_or(path.as_str().to_owned(), |query| format!("{}?{query}", path.as_str()));
    sent.word(0) == seen.word(0) && target == seen.word(1) && sent.body == seen.body
}

/// What an upstream gets can be read in one way.
fn is_plain(seen: &Message) {
    let (path, _) = seen.word(1).split_once('?').unwrap_or((seen.word(1), ""));
    assert!(path::normal(path).is_ok_and(|normal| normal.is_unchanged()), "not normal: {seen:?}");
    assert_eq!(seen.word(2), "HTTP/1.1", "{seen:?}");
    assert!(!matches!(seen.word(0), "CONNECT" | "TRACE"), "{seen:?}");
    let once = |name| seen.all(name).count() == 1;
    for name in ["host", "x-forwarded-for", "x-forwarded-proto", "forwarded"] {
        assert!(once(name), "{name}: {seen:?}");
    }
    assert_eq!(seen.all("x-forwarded-for").next(), Some(&b"127.0.0.1"[..]), "{seen:?}");
    assert!(seen.fields.iter().all(|(name, _)| !ENDED.contains(&name.as_str())), "{seen:?}");
    for option in seen.all("connection") {
        assert!(matches!(option, b"te" | b"upgrade"), "{seen:?}");
    }
}

/// The client can tell the answers apart: each is whole, and there are no more than requests.
fn answers(mut bytes: &[u8], sent: &[Message], junk: bool) {
    for request in sent {
        let head = request.word(0) == "HEAD";
        let answer = loop {
            match strict::closed(Kind::Answer(head), bytes) {
                // `100 Continue`.
                Read::Whole(answer, rest) if answer.word(1).starts_with('1') => bytes = rest,
                Read::Whole(answer, rest) => {
                    bytes = rest;
                    break answer;
                }
                // The connection has ended, as it does after a refusal.
                Read::Part if bytes.is_empty() => return,
                other => panic!("{other:?} in {:?}", String::from_utf8_lossy(bytes)),
            }
        };
        match answer.word(1) {
            "200" => assert_eq!(answer.body, if head { &[][..] } else { PLAIN }, "{answer:?}"),
            // The proxy is the last that is asked, by `Max-Forwards`.
            "204" => assert_eq!(request.word(0), "OPTIONS", "{answer:?}"),
            // Nothing is wrong with the upstream, and a client's fault is none of its; 508 is a loop that it made up.
            status => assert!(
                status.starts_with('4') || matches!(status, "501" | "508"),
                "{answer:?} to {request:?}"
            ),
        }
    }
    // What is no request, or only the beginning of one, has at most one answer, which is no good one.
    let rest = String::from_utf8_lossy(bytes);
    assert!(junk || !rest.contains("HTTP/1.1 200"), "{rest}");
}
