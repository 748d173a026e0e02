//! The admin listener over real sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tramline_observability::Health;
use tramline_observability::admin::{self, AdminConfig};
use tramline_observability::health::Need;
use tramline_observability::metrics::{Recorder, RecorderConfig};

use crate::wire::exchange;

struct Admin {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(config: AdminConfig) -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(admin::serve(listener, config, async {
        let _ = stopped.await;
    }));
    Admin { addr, stop, task }
}

fn status(answer: &str) -> &str {
    &answer["HTTP/1.1 ".len()..][..3]
}

#[tokio::test]
async fn liveness_asks_nobody_and_readiness_asks_all() {
    let asked = Arc::new(AtomicUsize::new(0));
    let auth = Health::new("auth");
    let payments = Health::new("payments");
    auth.check("database", Need::Required, {
        let asked = Arc::clone(&asked);
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok::<_, io::Error>(()))
        }
    });
    payments.check("cache", Need::Optional, || async { Err(io::Error::other("secret")) });
    let mut config = AdminConfig::default();
    config.healths = vec![auth.clone(), payments.clone()];
    let admin = start(config).await;

    let answer = exchange(admin.addr, "GET /livez").await;
    assert_eq!(status(&answer), "200");
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    let answer = exchange(admin.addr, "GET /readyz").await;
    assert_eq!(status(&answer), "200");
    assert!(answer.contains(r#""service":"payments","status":"degraded""#), "{answer}");
    assert!(!answer.contains("secret"));
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    // One of them drains: the process should be sent nothing more, and is alive.
    payments.set_draining();
    let answer = exchange(admin.addr, "GET /readyz").await;
    assert_eq!(status(&answer), "503");
    assert!(answer.contains(r#""service":"auth","status":"ready""#), "{answer}");
    assert!(answer.contains(r#""service":"payments","status":"draining""#), "{answer}");
    assert_eq!(status(&exchange(admin.addr, "GET /livez").await), "200");
    assert_eq!(status(&exchange(admin.addr, "HEAD /livez").await), "200");

    for (head, expected) in [
        ("POST /livez", "405"),
        ("DELETE /metrics", "405"),
        ("GET /metrics", "404"),
        ("GET /", "404"),
        ("GET /livez/x", "404"),
        ("POST /other", "404"),
    ] {
        let answer = exchange(admin.addr, head).await;
        assert_eq!(status(&answer), expected, "{head}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    let answer = exchange(admin.addr, "POST /readyz").await;
    assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
}

#[tokio::test]
async fn metrics_are_shown() {
    let recorder = Recorder::new(&RecorderConfig::default());
    metrics::with_local_recorder(&recorder, || metrics::counter!("shown").increment(3));
    let mut config = AdminConfig::default();
    config.metrics = Some(recorder.handle());
    let admin = start(config).await;
    let answer = exchange(admin.addr, "GET /metrics").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\nshown_total 3\n"), "{answer}");
}

/// Someone connects and says nothing, someone else keeps a connection open: the listener still ends, and in time.
#[tokio::test]
async fn it_ends_whoever_is_connected() {
    let mut config = AdminConfig::default();
    config.drain = Duration::from_millis(200);
    let admin = start(config).await;
    let _silent = TcpStream::connect(admin.addr).await.unwrap();
    let mut kept = TcpStream::connect(admin.addr).await.unwrap();
    kept.write_all(b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut byte = [0];
    kept.read_exact(&mut byte).await.unwrap();

    admin.stop.send(()).unwrap();
    timeout(Duration::from_secs(5), admin.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(admin.addr).await.is_err());
}

/// As many silent connections as there are places: they lose them when their time for a head is over.
#[tokio::test]
async fn silent_connections_do_not_shut_others_out() {
    let mut config = AdminConfig::default();
    config.max_connections = 2;
    config.header_timeout = Duration::from_millis(100);
    let admin = start(config).await;
    let _first = TcpStream::connect(admin.addr).await.unwrap();
    let _second = TcpStream::connect(admin.addr).await.unwrap();
    let answer = timeout(Duration::from_secs(5), exchange(admin.addr, "GET /livez"));
    assert_eq!(status(&answer.await.unwrap()), "200");
}
