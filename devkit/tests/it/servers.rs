//! Servers start, die and come back; nothing stays behind.

use std::path::Path;

use devkit::{Nginx, Postgres, RabbitMq, Redis};
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn ask(redis: &Redis, command: &str) -> String {
    let mut socket = TcpStream::connect(redis.addr()).await.unwrap();
    socket.write_all(command.as_bytes()).await.unwrap();
    let mut answer = vec![0; 256];
    let length = socket.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// Whether any process of the group is there.
fn lives(group: u32) -> bool {
    killpg(Pid::from_raw(i32::try_from(group).unwrap()), None).is_ok()
}

#[tokio::test]
async fn redis_keeps_data_and_port_over_a_kill_and_nothing_over_a_drop() {
    if !Redis::installed() {
        return;
    }
    let redis = Redis::start().await.unwrap();
    let (addr, group) = (redis.addr(), redis.process_group().unwrap());
    assert_eq!(ask(&redis, "SET k v\r\n").await, "+OK\r\n");

    redis.kill().await;
    assert!(!lives(group));
    assert_eq!(redis.process_group(), None);
    assert!(TcpStream::connect(addr).await.is_err());

    redis.restart().await.unwrap();
    assert_eq!(redis.addr(), addr);
    assert_eq!(ask(&redis, "GET k\r\n").await, "$1\r\nv\r\n");

    redis.stop().await;
    assert!(TcpStream::connect(addr).await.is_err());
    redis.restart().await.unwrap();
    assert_eq!(ask(&redis, "GET k\r\n").await, "$1\r\nv\r\n");

    let (group, folder) = (redis.process_group().unwrap(), redis.folder().to_owned());
    drop(redis);
    assert!(!lives(group));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_paused_redis_takes_connections_and_says_nothing() {
    if !Redis::installed() {
        return;
    }
    let redis = Redis::start().await.unwrap();
    redis.pause();
    let mut socket = TcpStream::connect(redis.addr()).await.unwrap();
    socket.write_all(b"PING\r\n").await.unwrap();
    let mut answer = [0; 7];
    let silence = std::time::Duration::from_millis(200);
    let read = tokio::time::timeout(silence, socket.read_exact(&mut answer)).await;
    assert!(read.is_err(), "it answered while paused");
    redis.resume();
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[tokio::test]
async fn postgres_keeps_commits_over_a_kill_and_ends_all_its_backends() {
    if !Postgres::installed() {
        return;
    }
    let postgres = Postgres::start().await.unwrap();
    let first = postgres.fresh_database().await.unwrap();
    assert_ne!(first, postgres.fresh_database().await.unwrap());
    postgres.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)").await.unwrap();
    assert!(postgres.execute("SELECT nonsense").await.is_err());

    let group = postgres.process_group().unwrap();
    postgres.kill().await;
    assert!(!lives(group));
    postgres.restart().await.unwrap();
    // A division by zero unless the row is there.
    postgres.execute("SELECT 1 / count(*) FROM t WHERE n = 7").await.unwrap();

    let folder = postgres.folder().to_owned();
    drop(postgres);
    assert!(!names_in_proc(&folder), "a backend is left");
    assert!(!folder.exists());
}

#[tokio::test]
async fn rabbitmq_comes_back_on_its_port_and_leaves_nothing() {
    if !RabbitMq::installed() {
        return;
    }
    let rabbit = RabbitMq::start().await.unwrap();
    let (addr, group) = (rabbit.addr(), rabbit.process_group().unwrap());
    rabbit.kill().await;
    assert!(!lives(group));
    rabbit.restart().await.unwrap();
    assert_eq!(rabbit.addr(), addr);
    assert!(TcpStream::connect(addr).await.is_ok());

    let (group, folder) = (rabbit.process_group().unwrap(), rabbit.folder().to_owned());
    drop(rabbit);
    assert!(!lives(group));
    assert!(!names_in_proc(&folder), "a process of the broker is left");
}

#[tokio::test]
async fn nginx_serves_its_block() {
    if !Nginx::installed() {
        return;
    }
    let nginx = Nginx::start("location / { return 200 'hello'; }").await.unwrap();
    let mut socket = TcpStream::connect(nginx.addr()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

/// Whether a process has the folder in its command line or as its working folder.
fn names_in_proc(folder: &Path) -> bool {
    let folder = folder.to_string_lossy();
    std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&*folder) || cwd.to_string_lossy().starts_with(&*folder)
    })
}
