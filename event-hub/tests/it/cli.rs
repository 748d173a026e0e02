//! The command `tramline-events`, as a process, on a real broker and both databases.

mod letters;
mod publish;
mod tail;

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::database::Database;
use crate::dead_letters::{Bed, soon};

/// What a call of the command left behind.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tramline-events"));
    command.args(arguments).env_remove("RABBITMQ_URL").env_remove("DATABASE_URL").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) async fn run(arguments: &[&str], input: &str) -> Ended {
    let mut child = command(arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It may end before it has read everything.
    let feed = tokio::spawn(async move { drop(stdin.write_all(input.as_bytes()).await) });
    let ended = end(child).await;
    feed.await.unwrap();
    ended
}

pub(crate) async fn end(child: Child) -> Ended {
    let output = soon("the command's end", child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) async fn interrupt(child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
}

/// The URL of a test's database.
pub(crate) fn url(db: &Database) -> String {
    match db {
        Database::Postgres(pool) => {
            let options = pool.connect_options();
            let (user, host, port) = (options.get_username(), options.get_host(), options.get_port());
            format!("postgres://{user}@{host}:{port}/{}", options.get_database().unwrap())
        }
        Database::Sqlite(_, folder) => format!("sqlite:{}", folder.path().join("test.db").display()),
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_wrong_call_says_so() {
    for (arguments, words) in [
        (&["publish"][..], "RABBITMQ_URL"),
        (&["publish", "--broker", "http://x"], "--broker"),
        (&["tail", "--broker", "amqp://127.0.0.1:1"], "--bind"),
        (&["tail", "queue", "--broker", "amqp://127.0.0.1:1"], "--definitions"),
        (&["dead-letters", "list"], "DATABASE_URL"),
        (&["dead-letters", "list", "--database", "mysql://x"], "database"),
        (&["dead-letters", "drain", "--database", "sqlite:x"], "--queue"),
        (&["dead-letters", "redrive", "--all", "--id", "1"], "--all"),
        (&["dead-letters", "list", "--from", "yesterday"], "--from"),
        (&["nonsense"], "nonsense"),
    ] {
        let ended = run(arguments, "").await.with_code(64);
        assert!(ended.err.contains(words) && ended.out.is_empty(), "{arguments:?}: {}", ended.err);
    }
    let help = run(&["--help"], "").await.with_code(0);
    assert!(help.out.contains("dead-letters"));
}

/// Nothing is made where only a look was asked for.
#[tokio::test]
async fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("absent.db");
    let database = format!("sqlite:{}", file.display());
    let ended = run(&["dead-letters", "list", "--database", &database], "").await.with_code(2);
    assert!(ended.err.contains("dead letters"), "{}", ended.err);
    assert!(!file.exists());
    // A port that nobody listens at.
    let ended = run(&["publish", "--broker", "amqp://127.0.0.1:1"], "").await.with_code(2);
    assert!(ended.err.contains("the broker does not answer"), "{}", ended.err);
}

#[tokio::test]
async fn a_topology_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("definitions.json");
    let topology = crate::dead_letters::Topology::new()
        .exchange(crate::dead_letters::Exchange::topic("events"))
        .queue(crate::dead_letters::Queue::quorum("orders.queue"))
        .binding(crate::dead_letters::Binding::new("events", "orders.#", "orders.queue"));
    std::fs::write(&file, topology.to_definitions_json("/")).unwrap();
    let file = file.to_str().unwrap();
    let ended = run(&["topology", "print", "--file", file], "").await.with_code(0);
    for words in ["exchange events (topic)", "orders.# → queue orders.queue", "queue orders.queue (quorum)"]
    {
        assert!(ended.out.contains(words), "{}", ended.out);
    }
    let ended = run(&["topology", "print", "--json", "--file", file], "").await.with_code(0);
    assert_eq!(ended.out.trim(), topology.to_definitions_json("/").trim());
    run(&["topology", "print", "--file", "/nowhere"], "").await.with_code(2);
}

/// With a management the command sees settings and bindings; what the file wants in words that a topology has not is
/// named, and not taken for right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topology_is_compared_with_all_of_the_broker() {
    use crate::dead_letters::{Binding, Exchange, Queue, Topology};
    let Some(bed) = crate::support::managed::Managed::fresh().await else { return };
    let wanted = Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum("work").with_max_length(50))
        .binding(Binding::new("events", "#", "work"));
    let hub = bed.plain_hub();
    let there = wanted.clone().queue(Queue::quorum("work").with_max_length(20));
    soon("a declaration", hub.declare(&there)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("definitions.json");
    let management = bed.broker.management_url().unwrap();
    let arguments = [
        "topology",
        "diff",
        "--broker",
        &bed.url,
        "--management",
        &management,
        "--file",
        file.to_str().unwrap(),
    ];
    std::fs::write(&file, wanted.to_definitions_json("/")).unwrap();
    let ended = run(&arguments, "").await.with_code(1);
    assert_eq!(ended.out, "different  queue work: max-length is 20 instead of 50\n");
    std::fs::write(&file, there.to_definitions_json("/")).unwrap();
    assert_eq!(run(&arguments, "").await.with_code(0).out, "no difference\n");

    let mut odd: serde_json::Value = serde_json::from_str(&there.to_definitions_json("/")).unwrap();
    let headers = serde_json::json!({ "name": "odd", "vhost": "/", "type": "headers", "durable": true,
        "auto_delete": false, "internal": false, "arguments": {} });
    odd["exchanges"].as_array_mut().unwrap().push(headers);
    std::fs::write(&file, odd.to_string()).unwrap();
    let ended = run(&arguments, "").await.with_code(1);
    assert!(ended.err.contains("left out: exchange odd: type headers"), "{}", ended.err);
    assert!(ended.out.contains("wanted: exchange odd: type headers"), "{}", ended.out);
    hub.shutdown().await;
}

/// What AMQP alone can see: whether a queue is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topology_is_compared_with_the_broker() {
    use crate::dead_letters::{Binding, Exchange, Queue, Topology};
    let Some(broker) = devkit::engines::amqp().await else { return };
    let bed = Bed::rabbit(Database::sqlite().await.unwrap(), broker).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("definitions.json");
    let wanted = Topology::new()
        .exchange(Exchange::topic(bed.name("events")))
        .queue(Queue::quorum(bed.name("work")).with_dead_letter(bed.name("dlx"), "dead-letter"))
        .binding(Binding::new(bed.name("events"), "#", bed.name("work")));
    std::fs::write(&file, wanted.to_definitions_json("/")).unwrap();
    let arguments = ["topology", "diff", "--broker", broker, "--file", file.to_str().unwrap()];
    run(&arguments, "").await.with_code(0);
    let more = wanted.queue(Queue::quorum(bed.name("absent")));
    std::fs::write(&file, more.to_definitions_json("/")).unwrap();
    let ended = run(&arguments, "").await.with_code(1);
    assert!(ended.out.contains(&bed.name("absent")), "{}", ended.out);
    let ended = run(&[&arguments[..], &["--json"]].concat(), "").await.with_code(1);
    assert_eq!(ended.lines()[0]["missing"][0]["name"], bed.name("absent"));
}
