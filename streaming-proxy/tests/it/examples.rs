//! The examples `axum`, `hyper` and `tower`, each as the process that somebody starts who tries them.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Semaphore;

use crate::client::{Client, get, once};
use crate::forward_example::program;
use crate::origin::{real, soon};

/// One that runs, on any port.
struct Example {
    child: Child,
    addr: SocketAddr,
    told: Lines<BufReader<ChildStderr>>,
}

impl Example {
    async fn start(name: &str, upstream: SocketAddr, more: &[&str]) -> Self {
        let mut command = Command::new(program(name).await);
        command.arg("127.0.0.1:0").arg(format!("http://{upstream}")).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon("its first line", lines.next_line()).await.unwrap().expect("where it listens");
        let addr = line.strip_prefix("listening on ").unwrap().parse().unwrap();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, addr, told }
    }

    /// The next line that it says on standard error.
    async fn told(&mut self) -> String {
        soon("a line", self.told.next_line()).await.unwrap().expect("a line")
    }

    fn end(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    }

    async fn ended_well(&mut self) -> bool {
        soon("its end", self.child.wait()).await.unwrap().success()
    }
}

/// An upstream that says what it saw, and how the client was named to it.
async fn told(mut request: Request<Incoming>) -> Response<String> {
    // An answer in front of the end of an upload may be lost: the reset for what was not read overtakes it.
    while let Some(frame) = request.body_mut().frame().await {
        frame.unwrap();
    }
    let client = request.headers().get("x-forwarded-for").map_or("nobody", |value| value.to_str().unwrap());
    Response::new(format!("{} {} for {client}", request.method(), request.uri()))
}

async fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Scenario: a request is under way when the process is told to end.
async fn drains(name: &str) {
    let (arrived, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (seen, wait) = (arrived.clone(), gate.clone());
    let upstream = real(move |_| {
        let (seen, wait) = (seen.clone(), wait.clone());
        async move {
            seen.add_permits(1);
            wait.acquire().await.unwrap().forget();
            Response::new("done".to_owned())
        }
    })
    .await;
    let mut example = Example::start(name, upstream, &[]).await;
    let mut busy = Client::connect(example.addr).await;
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon("arrived", arrived.acquire()).await.unwrap().forget();
    example.end();
    let closed = async {
        while TcpStream::connect(example.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("the listener is closed", closed).await;
    gate.add_permits(1);
    assert_eq!(busy.answer().await.text(), "done");
    assert!(example.ended_well().await);
}

#[tokio::test]
async fn axum_serves_its_own_and_passes_the_rest_on() {
    let example = Example::start("axum", real(told).await, &[]).await;
    let answer = get(example.addr, "/a?b").await;
    assert_eq!((answer.status, answer.text()), (200, "GET /a?b for 127.0.0.1"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(get(example.addr, "/healthz").await.text(), "ok\n");
    for hidden in ["/internal", "/internal/keys", "//internal/keys", "/%69nternal/keys"] {
        assert_eq!(get(example.addr, hidden).await.status, 404, "{hidden}");
    }
    assert_eq!(get(example.addr, "/internals").await.status, 200);
    // More than axum's own extractors would read, and more than the upstream is to see.
    let upload = |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let mut client = Client::connect(example.addr).await;
    client.send(upload(3 << 20)).await;
    client.send(vec![b'z'; 3 << 20]).await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(once(example.addr, &upload((10 << 20) + 1)).await.status, 413);
}

#[tokio::test]
async fn axum_tells_of_an_upstream_that_is_gone() {
    let example = Example::start("axum", closed().await, &[]).await;
    let answer = get(example.addr, "/a").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "BAD_GATEWAY"));
    let answer = get(example.addr, "/healthz").await;
    assert_eq!((answer.status, answer.text()), (503, "BAD_GATEWAY"));
}

#[tokio::test]
async fn hyper_forwards_and_answers_errors_by_hand() {
    let example = Example::start("hyper", real(told).await, &[]).await;
    assert_eq!(get(example.addr, "/a?b").await.text(), "GET /a?b for 127.0.0.1");

    let mut example = Example::start("hyper", closed().await, &[]).await;
    let answer = get(example.addr, "/a").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().starts_with("BAD_GATEWAY: "), "{}", answer.text());
    let line = example.told().await;
    assert!(line.contains("ConnectFailed"), "{line}");
}

#[tokio::test]
async fn tower_limits_and_sees_each_error() {
    let upstream = real(told).await;
    let mut example = Example::start("tower", upstream, &["--rate", "3/min", "--max-body", "10"]).await;
    let answer = get(example.addr, "/a?b").await;
    assert_eq!((answer.status, answer.text()), (200, "GET /a?b for 127.0.0.1"));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"address\";q=3;w=60"));
    let long = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n";
    let answer = once(example.addr, long).await;
    assert_eq!((answer.status, answer.text()), (413, "POST /a: BODY_TOO_LARGE\n"));
    assert!(answer.header("proxy-status").is_some_and(|item| item.starts_with("example; error=")));
    let line = example.told().await;
    assert!(line.contains("stage Receive, sent Not, fault of Client"), "{line}");
    assert_eq!(get(example.addr, "/a/../b").await.status, 400);
    let refused = get(example.addr, "/a").await;
    assert_eq!((refused.status, refused.text()), (429, "too many requests\n"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn each_answers_what_is_under_way_before_it_ends() {
    for name in ["axum", "hyper", "tower"] {
        drains(name).await;
    }
}
