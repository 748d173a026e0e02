//! HTTP/1.1 and HTTP/2 in, HTTP/1.1 and HTTP/2 out: everything passes in all four ways, byte by byte.

mod kit;
mod large;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, Semaphore};

use crate::client::Client;
use crate::h2client::{H2, next, request, send_all, try_whole, with};
use crate::matrix::kit::{Answer, Events, Http1, Http2, PAIRS, PIECE, Pieces, boxed, front};
use crate::origin::{Raise, soon};

/// What was asked for, as the upstream saw it, and its body with its trailers back again.
async fn echo(request: Request<Incoming>) -> Answer {
    let seen =
        format!("{} {} {:?}", request.method(), request.uri().path(), request.headers().get("x-asked"));
    let te = request.headers().get("te").cloned();
    let mut answer = Response::builder().header("x-seen", seen).header("trailer", "x-sum");
    if let Some(te) = te {
        answer = answer.header("x-te", te);
    }
    answer.body(boxed(request.into_body())).unwrap()
}

#[tokio::test]
async fn small_ones() {
    for (of, to) in PAIRS {
        let front = front(to, echo).await;
        let seen = "PUT /a Some(\"yes\")";
        match of {
            Http1 => {
                let mut client = Client::connect(front.addr).await;
                for _ in 0..3 {
                    client
                        .send("PUT /a HTTP/1.1\r\nHost: a\r\nX-Asked: yes\r\nContent-Length: 5\r\n\r\nhello")
                        .await;
                    let answer = client.answer().await;
                    assert_eq!(
                        (answer.header("x-seen"), answer.text()),
                        (Some(seen), "hello"),
                        "{of:?} {to:?}"
                    );
                }
            }
            Http2 => {
                let client = H2::connect(front.addr).await;
                for _ in 0..3 {
                    let answer = client
                        .upload(with(request("PUT", "/a"), &[("x-asked", "yes")]), &[b"hello"], None)
                        .await;
                    assert_eq!(
                        (answer.header("x-seen"), answer.text()),
                        (Some(seen), "hello"),
                        "{of:?} {to:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn heads_and_lengths() {
    for (of, to) in PAIRS {
        let front = front(to, move |request| async move {
            let status = request.uri().path().trim_start_matches('/').parse::<u16>().unwrap();
            let mut answer = Response::builder().status(status);
            if status == 304 || request.method() == "HEAD" {
                answer = answer.header("content-length", "7");
            }
            if (status, to) == (304, Http1) {
                // hyper keeps the length only for a body that has it, and sends none of that.
                return answer.body(boxed(Full::new(Bytes::from_static(b"7 bytes")))).unwrap();
            }
            answer.body(boxed(Empty::new())).unwrap()
        })
        .await;
        for (method, path, length) in [
            ("GET", "/204", None),
            ("GET", "/304", Some("7")),
            ("HEAD", "/200", Some("7")),
            ("GET", "/200", Some("0")),
        ] {
            match of {
                Http1 => {
                    let mut client = Client::connect(front.addr).await;
                    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
                    let head = client.head().await.unwrap();
                    let found = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    assert_eq!(found, length, "{of:?} {to:?} {method} {path}");
                }
                Http2 => {
                    let client = H2::connect(front.addr).await;
                    let answer = client.ask(request(method, path)).await;
                    let found = answer.header("content-length").or(Some("0")).filter(|_| length.is_some());
                    assert_eq!(found, length, "{of:?} {to:?} {method} {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn chunks_and_trailers() {
    for (of, to) in PAIRS {
        let front = front(to, echo).await;
        match of {
            Http1 => {
                let mut client = Client::connect(front.addr).await;
                for _ in 0..2 {
                    client
                        .send(
                            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTrailer: x-sum\r\n\
                             Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nx-sum: 5\r\n\r\n",
                        )
                        .await;
                    let answer = client.answer().await;
                    assert_eq!(
                        (answer.text(), answer.trailers.as_str()),
                        ("abcde", "x-sum: 5\r\n"),
                        "{of:?} {to:?}"
                    );
                    assert_eq!(answer.header("x-te"), Some("trailers"));
                }
            }
            Http2 => {
                let client = H2::connect(front.addr).await;
                for _ in 0..2 {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-sum", HeaderValue::from_static("5"));
                    let asked = with(request("POST", "/"), &[("te", "trailers"), ("trailer", "x-sum")]);
                    let answer = client.upload(asked, &[b"ab", b"cde"], Some(trailers)).await;
                    assert_eq!(answer.text(), "abcde", "{of:?} {to:?}");
                    assert_eq!(answer.trailers.as_ref().unwrap()["x-sum"], "5", "{of:?} {to:?}");
                    assert_eq!(answer.header("x-te"), Some("trailers"));
                }
            }
        }
    }
}

#[tokio::test]
async fn grpc() {
    // A call, and one that fails at once: its status is in the one head that it has, which must end the stream, or
    // clients wait for a message.
    let front = front(Http2, |request: Request<Incoming>| async move {
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.uri().scheme_str(), Some("http"));
        let answer = Response::builder().header("content-type", "application/grpc");
        if request.uri().path() == "/fails" {
            return answer.header("grpc-status", "5").body(boxed(Empty::new())).unwrap();
        }
        let message = request.into_body().collect().await.unwrap().to_bytes();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        answer.body(boxed(Full::new(message).with_trailers(async { Some(Ok(trailers)) }))).unwrap()
    })
    .await;
    let client = H2::connect(front.addr).await;
    let asked =
        |path| with(request("POST", path), &[("te", "trailers"), ("content-type", "application/grpc")]);
    let answer = client.upload(asked("/works"), &[b"\0\0\0\0\x02hi"], None).await;
    assert_eq!(
        (answer.text(), &answer.trailers.as_ref().unwrap()["grpc-status"]),
        ("\0\0\0\0\x02hi", &"0".parse().unwrap())
    );
    let (answer, mut stream) = client.begin(asked("/fails"), true).await;
    send_all(&mut stream, Bytes::from_static(b"\0\0\0\0\x02hi"), true).await;
    let answer = soon("a head", answer).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert!(answer.body().is_end_stream(), "trailers only, in one frame");
}

#[tokio::test]
async fn events_pass_at_once() {
    for (of, to) in PAIRS {
        let gate = Arc::new(Semaphore::new(0));
        let front = front(to, {
            let gate = gate.clone();
            move |_| {
                let events = Events(gate.clone(), 0, None);
                async move { Response::new(boxed(events)) }
            }
        })
        .await;
        match of {
            Http1 => {
                let mut client = Client::connect(front.addr).await;
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                client.head().await.unwrap();
                for n in 1..=5 {
                    gate.add_permits(1);
                    let event = client.exactly("9\r\ndata: 1\n\n\r\n".len()).await.unwrap();
                    assert_eq!(event, format!("9\r\ndata: {n}\n\n\r\n").as_bytes(), "{of:?} {to:?}");
                }
            }
            Http2 => {
                let client = H2::connect(front.addr).await;
                let (answer, _) = client.begin(request("GET", "/"), false).await;
                let mut body = soon("a head", answer).await.unwrap().into_body();
                for n in 1..=5 {
                    gate.add_permits(1);
                    assert_eq!(
                        next(&mut body).await.unwrap().unwrap(),
                        format!("data: {n}\n\n"),
                        "{of:?} {to:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    for (of, to) in PAIRS {
        let gone = Arc::new(Notify::new());
        let front = front(to, {
            let gone = gone.clone();
            move |request: Request<Incoming>| {
                let raise = Raise(gone.clone());
                async move {
                    // It keeps the body, and sees it end.
                    tokio::spawn(async move {
                        let _raise = raise;
                        let mut body = request.into_body();
                        while let Some(Ok(_)) = body.frame().await {}
                    });
                    let mut answer = Response::new(boxed(Full::new(Bytes::from_static(b"too much"))));
                    *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                    answer
                }
            }
        })
        .await;
        match of {
            Http1 => {
                let mut client = Client::connect(front.addr).await;
                client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegun").await;
                let answer = client.answer().await;
                assert_eq!((answer.status, answer.text()), (413, "too much"), "{of:?} {to:?}");
                soon("the upload's end", gone.notified()).await;
            }
            Http2 => {
                let client = H2::connect(front.addr).await;
                let (answer, mut stream) = client.begin(request("POST", "/"), true).await;
                send_all(&mut stream, Bytes::from_static(b"begun"), false).await;
                let answer = try_whole(answer).await.unwrap();
                assert_eq!((answer.status.as_u16(), answer.text()), (413, "too much"), "{of:?} {to:?}");
                soon("the upload's end", gone.notified()).await;
                assert_eq!(client.get("/").await.status, 413, "the connection goes on");
            }
        }
    }
}

#[tokio::test]
async fn what_breaks_off_is_seen_as_broken() {
    for (of, to) in PAIRS {
        let gate = Arc::new(Semaphore::new(0));
        let front = front(to, {
            let gate = gate.clone();
            move |_| {
                let mut pieces = Pieces::new(PIECE);
                // The head is there first.
                pieces.breaks = Some(Events(gate.clone(), 0, None));
                async move { Response::new(boxed(pieces)) }
            }
        })
        .await;
        match of {
            Http1 => {
                let mut client = Client::connect(front.addr).await;
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                let head = client.head().await.unwrap();
                assert!(head.starts_with("HTTP/1.1 200"), "{of:?} {to:?}: {head}");
                gate.add_permits(1);
                let mut rest = Vec::new();
                let _ = soon("the end", client.stream.read_to_end(&mut rest)).await;
                assert!(!rest.ends_with(b"0\r\n\r\n"), "{of:?} {to:?}");
            }
            Http2 => {
                let client = H2::connect(front.addr).await;
                let (answer, _) = client.begin(request("GET", "/"), false).await;
                let mut body = soon("a head", answer).await.unwrap().into_body();
                gate.add_permits(1);
                let error = loop {
                    if let Err(error) = next(&mut body).await.expect("no end but a broken one") {
                        break error;
                    }
                };
                assert!(error.is_reset() && error.is_remote(), "{of:?} {to:?}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream() {
    for (of, to) in PAIRS {
        let gone = Arc::new(Notify::new());
        let front = front(to, {
            let gone = gone.clone();
            move |_| {
                let mut events = Pieces::new(u64::MAX / 2);
                events.raise = Some(Raise(gone.clone()));
                async move { Response::new(boxed(events)) }
            }
        })
        .await;
        match of {
            Http1 => {
                let mut client = Client::connect(front.addr).await;
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                client.head().await.unwrap();
            }
            Http2 => {
                let client = H2::connect(front.addr).await;
                let (answer, _) = client.begin(request("GET", "/"), false).await;
                let answer = soon("a head", answer).await.unwrap();
                drop(answer);
                // The connection stays.
                soon("the upstream is told", gone.notified()).await;
                continue;
            }
        }
        soon("the upstream is told", gone.notified()).await;
    }
}

#[tokio::test]
async fn an_upgrade_is_for_http1_all_the_way() {
    for to in [Http1, Http2] {
        let front = front(to, move |mut request: Request<Incoming>| async move {
            let asked = request.headers().get("upgrade").cloned();
            if to == Http2 {
                assert_eq!((asked, request.headers().get("connection")), (None, None));
                return Response::new(boxed(Full::new(Bytes::from_static(b"a page"))));
            }
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgraded.await.unwrap());
                let (mut read, mut write) = tokio::io::split(&mut stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            let mut answer = Response::builder().status(101).header("connection", "upgrade");
            if let Some(asked) = asked {
                answer = answer.header("upgrade", asked);
            }
            answer.body(boxed(Empty::new())).unwrap()
        })
        .await;
        let mut client = Client::connect(front.addr).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        if to == Http1 {
            assert!(client.head().await.unwrap().starts_with("HTTP/1.1 101"));
            client.send("ping").await;
            assert_eq!(client.exactly(4).await.unwrap(), b"ping");
        } else {
            // HTTP/2 has no upgrade: it is an ordinary request (RFC 9110, 7.8).
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.text(), answer.header("upgrade")), (200, "a page", None));
        }
    }
}
