//! A table of routes in a file, which changes while the gateway runs.

use std::fs;

use nix::sys::signal::{Signal, raise};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tramline_observability::metrics::{MetricsHandle, Recorder, RecorderConfig, SampleValue};

use crate::proxying::read_until;
use crate::support::{Setup, World, until};

const TABLE: &str = "[upstreams.all]\nfrom = \"PAYMENTS_SERVICE_URL\"\n[[routes]]\nupstream = \"all\"\n";

/// Scenario: the file changes, then it is spoiled, then it is whole again and the process is told by SIGHUP. An upload
/// that is under way by the first table is answered to its end.
#[tokio::test]
async fn the_file_is_followed_and_a_bad_one_changes_nothing() {
    let metrics = Recorder::global(&RecorderConfig::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    fs::write(&path, format!("{TABLE}prefix = \"/api\"")).unwrap();
    let world = World::start(Setup { routes_file: Some(path.clone()), ..Setup::default() }).await;
    assert_eq!(world.get("/api/elsewhere").await.json["path"], "/api/elsewhere");

    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    let head = "POST /api/payments/echo HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}5\r\nfirst\r\n").as_bytes()).await.unwrap();
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, "first").await;

    fs::write(&path, format!("{TABLE}pattern = \"/api/new/{{x}}\"\ntemplate = \"/{{x}}\"")).unwrap();
    until("the new table", async || (world.get("/api/new/a").await.json["path"] == "/a").then_some(())).await;
    world.get("/api/elsewhere").await.is_problem(404, "NOT_FOUND", "/api/elsewhere");
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut stream, &mut seen, "second").await;

    // The counter says when it has been looked at.
    let failed = reloads(&metrics, "failed");
    fs::write(&path, "[[routes]]\nprefix = \"/\"\n").unwrap();
    until("the bad table is seen", async || (reloads(&metrics, "failed") > failed).then_some(())).await;
    assert_eq!(world.get("/api/new/a").await.json["path"], "/a");

    // Unchanged, and read again because someone asks.
    let failed = reloads(&metrics, "failed");
    raise(Signal::SIGHUP).unwrap();
    until("it is read again", async || (reloads(&metrics, "failed") > failed).then_some(())).await;
    assert_eq!(world.get("/api/new/a").await.json["path"], "/a");
    world.stop().await;
}

/// With a bad file there is no gateway, and the fault has its line.
#[tokio::test]
async fn a_gateway_does_not_start_on_a_bad_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    fs::write(&path, format!("{TABLE}prefix = \"/api\"\ncolour = 1")).unwrap();
    let started = World::try_start(Setup { routes_file: Some(path), ..Setup::default() }).await;
    let fault = started.err().expect("a bad table");
    assert_eq!(fault.variable(), "ROUTES_FILE");
    assert!(fault.to_string().contains("line 6: route 1: unknown field `colour`"), "{fault}");
}

/// How many reloads ended so.
fn reloads(metrics: &MetricsHandle, result: &str) -> f64 {
    let label = ("result".to_owned(), result.to_owned());
    let counts = metrics.snapshot().into_iter().filter_map(|sample| match sample.value {
        SampleValue::Counter(count) if sample.name.starts_with("gateway_routes_reloads") => {
            sample.labels.contains(&label).then_some(count)
        }
        _ => None,
    });
    counts.sum()
}
