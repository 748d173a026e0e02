//! The example `forward`, as the process that tools outside start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use http::{Request, Response};
use hyper::body::Incoming;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::{Client, once};
use crate::h2client::H2;
use crate::origin::{real, soon};

/// Cargo builds the examples of a package before its tests, beside the folder of the test programs. Only when a
/// single test program is asked for (`--test it`) it does not, so the example is built here if it is missing.
pub(crate) async fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(|deps| deps.parent()).unwrap();
    let program = profile.join("examples").join(name);
    if !program.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--all-features", "--example", name]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().await.unwrap();
        assert!(built.success() && program.is_file(), "the example does not build at {}", program.display());
    }
    program
}

/// Starts it on any port; it says which one.
async fn start(upstream: SocketAddr, more: &[&str]) -> (Child, SocketAddr) {
    let mut command = Command::new(program("forward").await);
    command.arg("127.0.0.1:0").arg(format!("http://{upstream}")).args(more);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = soon("its first line", lines.next_line()).await.unwrap().expect("it says where it listens");
    let addr = line.strip_prefix("listening on ").unwrap().parse().unwrap();
    (child, addr)
}

async fn told(request: Request<Incoming>) -> Response<String> {
    let field = |name: &str| request.headers().get(name).map_or("none", |value| value.to_str().unwrap());
    let names = ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "keep-alive"];
    Response::new(format!("{} {}", request.uri(), names.map(field).join(" ")))
}

#[tokio::test]
async fn it_forwards_with_forwarding_headers_and_drains_at_sigterm() {
    let (mut child, addr) = start(real(told).await, &["--threads", "2"]).await;
    // More connections than threads: both have some, and each keeps its own alive.
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::connect(addr).await);
    }
    for _ in 0..2 {
        for client in &mut clients {
            client.send("GET /a?b HTTP/1.1\r\nHost: shop.example\r\nKeep-Alive: timeout=5\r\n\r\n").await;
            let answer = client.answer().await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.text(), "/a?b shop.example 127.0.0.1 http shop.example none");
        }
    }
    kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(soon("its end", child.wait()).await.unwrap().success());
    assert!(clients[0].is_ended().await);
}

#[tokio::test]
async fn with_h2c_it_takes_both_versions_and_drains_them() {
    let (mut child, addr) = start(real(told).await, &["--h2c"]).await;
    let client = H2::connect(addr).await;
    let mut old = Client::connect(addr).await;
    for _ in 0..2 {
        assert_eq!(client.get("/a?b").await.text(), "/a?b a.example 127.0.0.1 http a.example none");
        old.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(old.answer().await.status, 200);
    }
    kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(soon("its end", child.wait()).await.unwrap().success());
    assert!(old.is_ended().await);
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_502() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_child, addr) = start(closed, &[]).await;
    assert_eq!(once(addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 502);
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_before_a_port_opens() {
    for (arguments, why) in [
        (["127.0.0.1:0", "gopher://127.0.0.1"].as_slice(), "must be http"),
        (["127.0.0.1:0", "http://127.0.0.1:1", "--threads", "0"].as_slice(), "--threads"),
    ] {
        let mut command = Command::new(program("forward").await);
        let output = soon("its end", command.args(arguments).kill_on_drop(true).output()).await.unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        assert!(words.contains(why), "{arguments:?}: {words}");
    }
}
