//! The binary: its configuration, its exit codes, the first admin.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use chassis::db::{Db, DbConfig};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tramline_session_sync::KeyFile;

use crate::support::events::data;
use crate::support::{Bench, LONG, Setup, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_auth-service");

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("keys.json"), KeyFile::generate().to_text()).unwrap();
        std::fs::write(folder.path().join("bad.json"), "{}").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn database_url(&self) -> String {
        format!("sqlite:{}", self.path("auth.db"))
    }

    /// The variables of a process that would run.
    fn good(&self, port: u16) -> Vec<(String, String)> {
        [
            ("RABBITMQ_URL", "amqp://127.0.0.1:1/%2f".to_owned()),
            ("AUTH_DATABASE_URL", self.database_url()),
            ("JWT_KEY_FILE", self.path("keys.json")),
            ("ADMIN_ADDR", "127.0.0.1:0".to_owned()),
            ("PORT", port.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

fn command(args: &[&str], vars: &[(String, String)]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear().envs(vars.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_wrong_configuration_is_one_line_and_64_before_any_port_opens() {
    let place = Place::new();
    // Whoever opened the port first would end otherwise: it is taken.
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let good = place.good(taken.local_addr().unwrap().port());
    let bad = place.path("bad.json");
    let secret = "hunter2";
    let cases = [
        ("RABBITMQ_URL", ""),
        ("RABBITMQ_URL", "http://hunter2@127.0.0.1"),
        ("AUTH_DATABASE_URL", ""),
        ("AUTH_DATABASE_URL", "mysql://hunter2@127.0.0.1/x"),
        ("JWT_KEY_FILE", ""),
        ("JWT_KEY_FILE", "/nowhere/hunter2.json"),
        ("JWT_KEY_FILE", &bad),
        ("REDIS_URL", "http://hunter2@127.0.0.1"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example.com,pay.example.com"),
        ("CORS_ORIGINS", "https://a.example.com/path"),
        ("RATE_LIMIT_AUTH", "many"),
        ("TRUSTED_PROXIES", "everyone"),
        ("INSTANCE_ID", "a b"),
        ("LOG_FORMAT", "xml"),
        ("PORT", "65436"),
        ("PORT", "http"),
        ("ADMIN_ADDR", "here"),
        ("DRAIN_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere"),
    ];
    for (name, value) in cases {
        let mut vars = good.clone();
        vars.retain(|(other, _)| other != name);
        vars.push((name.to_owned(), value.to_owned()));
        let output = command(&[], &vars).output().unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{name}={value}: {told}");
        assert_eq!(told.lines().count(), 1, "{name}={value}: {told}");
        assert!(told.contains(name), "{name}={value}: {told}");
        assert!(!told.contains(secret), "{told}");
    }
    let unknown = command(&["--nonsense"], &good).output().unwrap();
    assert_eq!(unknown.status.code(), Some(64));
    let checked = command(&["--check-config"], &good).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(!Path::new(&place.path("auth.db")).exists(), "nothing was opened");
    let taken = command(&[], &good).output().unwrap();
    assert_eq!(taken.status.code(), Some(1), "a port that is taken is no fault of the configuration");
}

#[test]
fn limits_can_be_off() {
    let place = Place::new();
    for value in ["off", "600/min", "10/s"] {
        let mut vars = place.good(0);
        vars.push(("RATE_LIMIT_AUTH".to_owned(), value.to_owned()));
        let output = command(&["--check-config"], &vars).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{value}: {}", stderr(&output));
    }
}

fn create_admin(place: &Place, args: &[&str], password: &str) -> Output {
    let vars = [("AUTH_DATABASE_URL".to_owned(), place.database_url())];
    let mut all = vec!["create-admin"];
    all.extend(args);
    let mut child = command(&all, &vars).stdin(Stdio::piped()).spawn().unwrap();
    // A command that does not come to read it has ended already.
    let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
    child.wait_with_output().unwrap()
}

#[tokio::test]
async fn the_first_admin() {
    let place = Place::new();
    let email = ["--email", "root@example.com"];
    let made = create_admin(&place, &email, "a very good password\n");
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    assert!(made.stdout.is_empty() && made.stderr.is_empty(), "nothing of the password is told");

    let again = create_admin(&place, &["--email", "ROOT@example.com"], "a very good password\n");
    assert_eq!(again.status.code(), Some(1));
    let weak = create_admin(&place, &["--email", "b@example.com", "--name", "B"], "short\n");
    assert_eq!(weak.status.code(), Some(1));
    assert!(stderr(&weak).contains("/password"), "{}", stderr(&weak));
    let none = create_admin(&place, &["--email", "b@example.com"], "");
    assert_eq!(none.status.code(), Some(1));
    for (args, names) in [
        (&[][..], "--email"),
        (&["--email"], "--email"),
        (&["--email", "b@example.com", "--password", "in sight of everyone"], "--password"),
    ] {
        let output = create_admin(&place, args, "a very good password\n");
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(stderr(&output).contains(names), "{args:?}: {}", stderr(&output));
    }
    let lost = command(&["create-admin", "--email", "b@example.com"], &[]).output().unwrap();
    assert_eq!((lost.status.code(), stderr(&lost).contains("AUTH_DATABASE_URL")), (Some(64), true));

    // The service that runs on this database sends the event, and lets the admin in.
    let db = Db::open("X", &place.database_url(), &DbConfig::default()).unwrap();
    let bench = Bench::with(Setup { db: Some(db), ..Setup::default() }).await;
    let event = bench.events.wait("auth.user.created", |_| true).await;
    assert_eq!(
        (&data(&event)["role"], &data(&event)["email"]),
        (&json!("ADMIN"), &json!("root@example.com"))
    );
    let login = json!({ "email": "root@example.com", "password": "a very good password" });
    let answer = bench.post("/api/auth/login", login).await;
    assert_eq!(answer.json["user"]["role"], "ADMIN", "{}", answer.json);
}

async fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
async fn a_broker_that_is_away_means_not_ready_and_no_exit() {
    let place = Place::new();
    let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let mut vars = place.good(port);
    vars.push(("DRAIN_TIMEOUT".to_owned(), "5s".to_owned()));
    let mut child = tokio::process::Command::from(command(&[], &vars)).kill_on_drop(true).spawn().unwrap();
    let keys = || async {
        get(port, "/.well-known/jwks.json").await.filter(|answer| answer.starts_with("HTTP/1.1 200"))
    };
    eventually("the keys, which need no broker", keys).await;
    let health = get(port, "/health").await.unwrap();
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("UNAVAILABLE"), "{health}");
    let process = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    let end = tokio::time::timeout(LONG, child.wait()).await.unwrap().unwrap();
    assert_eq!(end.code(), Some(0));
}
