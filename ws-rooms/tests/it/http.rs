//! A real HTTP server on the loopback.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tramline_ws_rooms::client::{Client, Options, Refused};
use tramline_ws_rooms::protocol::{Request as Frame, ServerFrame};
use tramline_ws_rooms::{Close, ErrorKind, PeerInfo, Rooms, RoomsConfig, Target};

use crate::support::{config, node, node_with, publish};

/// The upgrade as a service would mount it.
pub(crate) async fn serve(rooms: Rooms) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, from) = listener.accept().await.unwrap();
            tokio::spawn(serve_one(rooms.clone(), stream, from.ip()));
        }
    });
    addr
}

async fn serve_one<S>(rooms: Rooms, stream: S, from: IpAddr)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let rooms = rooms.clone();
        async move {
            let answer = rooms.upgrade(request, PeerInfo::new(from)).await;
            Ok::<_, Infallible>(match answer {
                Ok(response) => response.map(|()| Full::new(Bytes::new())),
                Err(refusal) => {
                    let problem = json!({"status": refusal.status.as_u16(), "code": refusal.code});
                    let mut response = Response::new(Full::from(problem.to_string()));
                    *response.status_mut() = refusal.status;
                    refusal.apply_headers(response.headers_mut());
                    response
                }
            })
        }
    });
    let http = hyper::server::conn::http1::Builder::new();
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

/// Sends a request as written and returns the head of the answer.
async fn raw(addr: SocketAddr, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut text = format!("GET {target} HTTP/1.1\r\nhost: x\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&buffer[..read]);
    }
    // The welcome may have come along.
    let end = head.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 2;
    let head = String::from_utf8(head[..end].to_vec()).unwrap().to_lowercase();
    (head[9..12].parse().unwrap(), head)
}

const UPGRADE: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const BEARER: (&str, &str) = ("authorization", "Bearer ada/customer/s1");

#[tokio::test]
async fn a_payment_reaches_a_browser() {
    let rooms = node();
    let addr = serve(rooms.clone()).await;
    let mut options = Options::bearer("ada/customer/s1");
    options.token_as_subprotocol = true;
    options.origin = Some("http://localhost:3000".into());
    let url = format!("ws://{addr}/ws");
    let mut client = Client::connect(&url, options).await.unwrap();
    let Some(ServerFrame::Welcome(welcome)) = client.next().await.unwrap() else { panic!() };
    assert_eq!(welcome.user_id, "ada");
    client.send(&Frame::subscribe("payment:42"), Some("1")).await.unwrap();
    let Some(ServerFrame::Subscribed(subscribed)) = client.next().await.unwrap() else { panic!() };
    publish(&rooms, &["payment:42"], "e1").await;
    let Some(ServerFrame::Event(event)) = client.next().await.unwrap() else { panic!() };
    assert_eq!((event.room, event.offset), (subscribed.room, 1));
    rooms.close(&Target::Session("s1".into()), &Close::SESSION_REVOKED);
    let Some(ServerFrame::Goodbye(goodbye)) = client.next().await.unwrap() else { panic!() };
    assert_eq!(goodbye.code, 4009);
    assert_eq!(client.next().await.unwrap(), None);
    assert_eq!(client.close_code(), Some(4009));
    assert_eq!(client.close_reason(), Some("session revoked"));
}

#[tokio::test]
async fn only_the_version_is_answered() {
    let addr = serve(node()).await;
    let mut headers = UPGRADE.to_vec();
    headers.push(("sec-websocket-protocol", "tramline.v1, bearer.ada/customer/s1"));
    let (status, head) = raw(addr, "/ws", &headers).await;
    assert_eq!(status, 101);
    assert!(head.contains("\r\nsec-websocket-protocol: tramline.v1\r\n"), "{head}");
    assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert!(!head.contains("ada"), "the bearer entry is not echoed: {head}");
    // A program that names none gets none.
    let mut headers = UPGRADE.to_vec();
    headers.push(BEARER);
    let (status, head) = raw(addr, "/ws", &headers).await;
    assert_eq!(status, 101);
    assert!(!head.contains("sec-websocket-protocol"));
}

/// A client may speak before it has its answer: what the server below has read along with the request comes first.
#[tokio::test]
async fn what_comes_along_with_the_request_is_heard() {
    let addr = serve(node()).await;
    speaks_at_once(TcpStream::connect(addr).await.unwrap()).await;
    // Anything else that carries bytes, as TLS does.
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(serve_one(node(), server, [127, 0, 0, 1].into()));
    speaks_at_once(client).await;
}

async fn speaks_at_once(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    // Masked with zeros.
    let ping = |id: u8| {
        let text = format!(r#"{{"type":"ping","id":{id}}}"#);
        let head = [0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        [&head[..], text.as_bytes()].concat()
    };
    let mut sent = b"GET /ws HTTP/1.1\r\nhost: x\r\n".to_vec();
    for (name, value) in UPGRADE.iter().chain([&BEARER]) {
        sent.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    sent.extend([b"\r\n".to_vec(), ping(1), ping(2)].concat());
    stream.write_all(&sent).await.unwrap();
    let mut came = Vec::new();
    until(&mut stream, &mut came, "welcome").await;
    stream.write_all(&ping(3)).await.unwrap();
    until(&mut stream, &mut came, r#""id":3"#).await;
    let came = String::from_utf8_lossy(&came);
    let at = |id: u8| came.find(&format!(r#""id":{id}"#));
    assert!(at(1).is_some() && at(1) < at(2) && at(2) < at(3), "{came}");
}

async fn until(stream: &mut (impl AsyncRead + Unpin), came: &mut Vec<u8>, end: &str) {
    while !String::from_utf8_lossy(came).contains(end) {
        assert!(stream.read_buf(came).await.unwrap() > 0, "the server closed");
    }
}

#[tokio::test]
async fn where_the_credential_may_stand() {
    let addr = serve(node()).await;
    let (status, _) = raw(addr, "/ws?x=1&ticket=ada", &UPGRADE).await;
    assert_eq!(status, 101);
    let (status, head) = raw(addr, "/ws?token=ada/customer/s1", &UPGRADE).await;
    assert_eq!(status, 401, "off by default");
    assert!(head.contains("www-authenticate: bearer"));

    let mut config = config();
    config.query_token = true;
    let addr = serve(node_with(config)).await;
    let (status, _) = raw(addr, "/ws?token=ada%2Fcustomer%2fs1", &UPGRADE).await;
    assert_eq!(status, 101);
    for target in ["/ws?token=", "/ws?token=%zz", "/ws?ticket", "/ws?token=%ff"] {
        assert_eq!(raw(addr, target, &UPGRADE).await.0, 401, "{target}");
    }
}

#[tokio::test]
async fn origins_are_an_exact_list() {
    let rooms = node();
    let addr = serve(rooms.clone()).await;
    for (origin, expected) in [
        ("http://localhost:3000", 101),
        ("http://localhost:3001", 403),
        ("http://localhost", 403),
        ("https://localhost:3000", 403),
        ("HTTP://LOCALHOST:3000", 403),
        ("http://localhost:3000.evil.example", 403),
        ("http://x", 403),
        ("null", 403),
        ("", 403),
    ] {
        let mut headers = UPGRADE.to_vec();
        headers.extend([BEARER, ("origin", origin)]);
        assert_eq!(raw(addr, "/ws", &headers).await.0, expected, "{origin}");
    }
    let mut headers = UPGRADE.to_vec();
    headers.extend([BEARER, ("origin", "http://localhost:3000"), ("origin", "http://evil")]);
    assert_eq!(raw(addr, "/ws", &headers).await.0, 403);
    // `null` is refused even if someone lists it.
    let mut config = RoomsConfig::default();
    config.origins = vec!["null".into()];
    let addr = serve(node_with(config)).await;
    let mut headers = UPGRADE.to_vec();
    headers.extend([BEARER, ("origin", "null")]);
    assert_eq!(raw(addr, "/ws", &headers).await.0, 403);
}

#[tokio::test]
async fn a_plain_get_tells_why() {
    let rooms = node();
    let addr = serve(rooms.clone()).await;
    assert_eq!(raw(addr, "/ws", &[]).await.0, 401);
    assert_eq!(raw(addr, "/ws", &[("authorization", "Bearer nonsense")]).await.0, 401);
    assert_eq!(raw(addr, "/ws", &[("authorization", "Basic abc")]).await.0, 401);
    assert_eq!(raw(addr, "/ws", &[BEARER, ("origin", "http://evil")]).await.0, 403);
    let (status, head) = raw(addr, "/ws", &[BEARER]).await;
    assert_eq!(status, 426);
    assert!(head.contains("upgrade: websocket") && head.contains("sec-websocket-version: 13"));
    assert_eq!(rooms.stats().connections, 0);

    let mut small = config();
    small.limits.connections_per_address = 0;
    let addr = serve(node_with(small)).await;
    let (status, head) = raw(addr, "/ws", &[BEARER]).await;
    assert_eq!(status, 429);
    assert!(head.contains("retry-after: "));
}

#[tokio::test]
async fn handshakes_that_are_none() {
    let addr = serve(node()).await;
    for (name, value) in [
        ("connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-key", "short"),
        ("sec-websocket-key", "!!!!IHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "graphql-ws"),
    ] {
        let mut headers = UPGRADE.to_vec();
        headers.retain(|(known, _)| *known != name);
        headers.extend([BEARER, (name, value)]);
        assert_eq!(raw(addr, "/ws", &headers).await.0, 426, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_draining_node_refuses_and_its_sockets_are_waited_for() {
    let rooms = node();
    let addr = serve(rooms.clone()).await;
    let url = format!("ws://{addr}/ws");
    let mut client = Client::connect(&url, Options::bearer("ada/customer/s1")).await.unwrap();
    client.next().await.unwrap();
    let (report, _) = tokio::join!(rooms.drain(Duration::from_secs(10)), async {
        while client.next().await.unwrap().is_some() {}
    });
    assert_eq!((report.told, report.cut), (1, 0));
    assert_eq!(client.close_code(), Some(4200));
    let error = Client::connect(&url, Options::bearer("ada/customer/s1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref::<Refused>().unwrap().status, 503);
}

/// A socket on which an upgrade has been asked for, with nothing read yet.
pub(crate) async fn open(addr: SocketAddr) -> TcpStream {
    let mut text = "GET /ws HTTP/1.1\r\nhost: x\r\n".to_owned();
    for (name, value) in UPGRADE.iter().chain([&BEARER]) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn frames_that_break_the_rules_of_websockets() {
    // An unmasked frame, reserved bits, a fragmented control frame, a long ping, bad UTF-8.
    let addr = serve(node()).await;
    let mut long_ping = vec![0x89, 0xFE, 0x00, 0x7E];
    long_ping.resize(4 + 4 + 126, 0);
    let cases: [(&[u8], u16); 5] = [
        (&[0x81, 0x02, b'h', b'i'], 1002),
        (&[0xC1, 0x80, 0, 0, 0, 0], 1002),
        (&[0x09, 0x80, 0, 0, 0, 0], 1002),
        (&long_ping, 1002),
        (&[0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28], 1007),
    ];
    for (bytes, code) in cases {
        let mut stream = open(addr).await;
        stream.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut all)).await;
        let code_bytes = code.to_be_bytes();
        let found = all.windows(4).any(|w| w[0] == 0x88 && w[2..] == code_bytes);
        assert!(found, "{bytes:x?}: no close {code}");
    }
}
