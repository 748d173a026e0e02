//! A whole small service: database, outbox, consumer, HTTP, drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tramline_event_hub::{Context, Event, Outcome};
use uuid::Uuid;

use super::*;
use crate::args;
use crate::client_addr::ClientAddr;
use crate::config::Process;
use crate::db::{Db, DbConfig, Migration};
use crate::origin::Origin;
use crate::testing::{send, shell, sqlite};

const MIGRATIONS: &[Migration] = &[Migration::new(
    "0001_init",
    "CREATE TABLE seen (id TEXT PRIMARY KEY)",
    "CREATE TABLE seen (id TEXT PRIMARY KEY)",
)];

async fn tell(State(db): State<Db>, origin: Origin) -> Result<String, Problem> {
    let data =
        contracts::UserDeleted { user_id: Uuid::now_v7(), version: 1, deleted_at: jiff::Timestamp::now() };
    let event = origin.stamp(contracts::wrap("/test", &data).map_err(|_| Problem::internal())?);
    let mut tx = db.begin().await?;
    tx.enqueue(&event).await?;
    tx.commit().await?;
    Ok(event.id.to_string())
}

async fn note(db: &Db, event: &Event) -> Result<(), crate::db::DbError> {
    let mut tx = db.begin().await?;
    if tx.first_time("test", &event.id).await? {
        tx.execute("INSERT INTO seen (id) VALUES ($1)", args![event.id.as_str()]).await?;
    }
    tx.commit().await
}

fn build(shell: &Shell, db: &Db, handled: &Arc<Notify>) -> Service {
    shell.database(db, MIGRATIONS);
    let (store, handled) = (db.clone(), Arc::clone(handled));
    shell.consume(
        contracts::PROFILE_QUEUE,
        Shell::consumer_config("test"),
        move |event: Event, _: Context| {
            let (db, handled) = (store.clone(), Arc::clone(&handled));
            async move {
                match note(&db, &event).await {
                    Ok(()) => {
                        handled.notify_one();
                        Outcome::Ack
                    }
                    Err(error) => Outcome::retry(&error),
                }
            }
        },
    );
    let router = Router::new()
        .route("/tell", post(tell))
        .route("/who", get(async |addr: ClientAddr| addr.0.to_string()))
        .route("/panic", get(async || if true { panic!("boom") } else { "" }))
        .with_state(db.clone());
    shell.service(router)
}

async fn ready(service: &Service) {
    let wait = async {
        while !service.health().ready().await.is_ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn a_row_its_event_and_its_effect() {
    let (db, _folder) = sqlite();
    row_event_effect(db).await;
    if let Some(url) = devkit::engines::fresh_database().await {
        row_event_effect(Db::open("X", &url, &DbConfig::default()).unwrap()).await;
    }
}

async fn row_event_effect(db: Db) {
    let (shell, handled) = (shell(&Process::payments()), Arc::new(Notify::new()));
    let service = build(&shell, &db, &handled);
    ready(&service).await;
    let router = service.router();
    assert_eq!(send(&router, "POST", "/tell", None, None).await.status, StatusCode::OK);
    timeout(Duration::from_secs(10), handled.notified()).await.unwrap();
    let row = db.query_one("SELECT COUNT(*) AS n FROM seen", args![]).await.unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 1);
    let report = shell.lifecycle().drain(Duration::from_secs(20)).await;
    assert!(report.finished(), "{report:?}");
}

#[tokio::test]
async fn health_waits_for_readiness_and_the_seed() {
    let (db, _folder) = sqlite();
    let mut common = crate::config::Common::embedded(&Process::profile());
    common.demo_seed = true;
    let hub = tramline_event_hub::Hub::memory(tramline_event_hub::MemoryConfig::default());
    let shell = Shell::new(common, hub, Lifecycle::new());
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let service = build(&shell, &db, &Arc::new(Notify::new())).when_seeded(move || {
        let before = counted.fetch_add(1, Ordering::AcqRel);
        async move { before >= 1 }
    });
    ready(&service).await;
    let router = service.router();
    let answer = send(&router, "GET", "/health", None, None).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "UNAVAILABLE"));
    assert_eq!(send(&router, "GET", "/health", None, None).await.json["status"], "ok");
    assert_eq!(send(&router, "GET", "/health", None, None).await.json["status"], "ok");
    assert_eq!(asked.load(Ordering::Acquire), 2, "once there, it is not asked again");
    shell.health().set_draining();
    assert_eq!(send(&router, "GET", "/health", None, None).await.status.as_u16(), 503);
}

#[tokio::test]
async fn a_database_that_is_away_makes_the_service_not_ready_and_no_more() {
    // Nothing listens on port 1.
    let config = DbConfig { acquire_timeout: Duration::from_millis(100), ..DbConfig::default() };
    let db = Db::open("X", "postgres://u@127.0.0.1:1/none", &config).unwrap();
    let shell = shell(&Process::payments());
    let service = build(&shell, &db, &Arc::new(Notify::new()));
    let router = service.router();
    assert!(!service.health().ready().await.is_ready());
    let answer = send(&router, "POST", "/tell", None, None).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "UNAVAILABLE"));
    assert!(answer.headers.contains_key("retry-after"));
    assert!(shell.lifecycle().drain(Duration::from_secs(20)).await.finished());
}

/// One request over a connection of its own; the answer as text, once the server has closed.
async fn raw(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn serves_over_sockets_and_drains_with_a_request_under_way() {
    let shell = shell(&Process::payments());
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, wait) = (Arc::clone(&entered), Arc::clone(&go));
    let slow = get(move || async move {
        inside.notify_one();
        wait.notified().await;
        "done"
    });
    let router = Router::new().route("/slow", slow).route("/who", get(async |a: ClientAddr| a.0.to_string()));
    let service = shell.service(router);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, admin_addr) = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
    let config = ServeConfig {
        admin: Some((admin, None)),
        drain_timeout: Duration::from_secs(20),
        ..ServeConfig::default()
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let lifecycle = shell.lifecycle().clone();
    let serving = tokio::spawn(async move {
        serve(vec![(service, listener)], config, &lifecycle, async {
            let _ = stopped.await;
        })
        .await
    });

    let forwarded =
        "GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nConnection: close\r\n\r\n";
    assert!(raw(addr, forwarded).await.ends_with("1.2.3.4"), "a service trusts its loopback gateway");
    let live = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(raw(admin_addr, live).await.starts_with("HTTP/1.1 200"));

    let idle = TcpStream::connect(addr).await.unwrap();
    let slow = tokio::spawn(raw(addr, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").into_future());
    entered.notified().await;
    stop.send(()).unwrap();
    // The listener closes while the request is still under way.
    timeout(Duration::from_secs(20), async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await
        }
    })
    .await
    .unwrap();
    assert!(!serving.is_finished());
    go.notify_one();
    assert!(slow.await.unwrap().ends_with("done"));
    let end = timeout(Duration::from_secs(20), serving).await.unwrap().unwrap();
    assert!(end.report.finished() && end.failed.is_none(), "{end:?}");
    drop(idle);
}

#[test]
fn a_wrong_configuration_is_64_before_anything_opens() {
    let run = |args: &[&str], vars: &[(&str, &str)]| {
        let args = args.iter().map(|a| (*a).to_owned());
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let code = crate::run(&Process::auth(), args, vars, |_, _| Ok(()), |(), _| panic!("opened"));
        format!("{code:?}")
    };
    let code = |code: u8| format!("{:?}", std::process::ExitCode::from(code));
    assert_eq!(run(&[], &[]), code(64));
    assert_eq!(run(&["--nonsense"], &[("RABBITMQ_URL", "amqp://a")]), code(64));
    assert_eq!(run(&["--check-config"], &[("RABBITMQ_URL", "amqp://a"), ("PORT", "x")]), code(64));
    assert_eq!(run(&["--check-config"], &[("RABBITMQ_URL", "amqp://a")]), code(0));
}
