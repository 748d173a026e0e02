//! What a process started does not outlive it, however it ends.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use devkit::Redis;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time;

/// Makes this test program the process that dies, instead of the one that looks.
const DYING: &str = "DEVKIT_TEST_DYING";

/// A test program with a server is killed with a signal that no destructor sees. Its server and its
/// folder go all the same.
#[tokio::test]
async fn a_killed_process_leaves_no_server_and_no_folder() {
    if !Redis::installed() {
        return;
    }
    if std::env::var_os(DYING).is_some() {
        live_until_killed().await;
    }
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let mut dying = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "death::a_killed_process_leaves_no_server_and_no_folder", "--nocapture"])
            .env(DYING, "1")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(dying.stdout.take().unwrap()).lines();
        let (addr, folder) = loop {
            let line = lines.next_line().await.unwrap().expect("it ended before it was killed");
            if let Some((_, rest)) = line.split_once("HOLDING ") {
                let (addr, folder) = rest.split_once(' ').unwrap();
                break (addr.to_owned(), PathBuf::from(folder));
            }
        };
        assert!(TcpStream::connect(&addr).await.is_ok());
        let id = i32::try_from(dying.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
        dying.wait().await.unwrap();

        let gone = async {
            while TcpStream::connect(&addr).await.is_ok() || folder.exists() {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        time::timeout(Duration::from_secs(10), gone).await.expect("the server outlived the process");
    }
}

#[expect(clippy::print_stdout, reason = "it speaks to the process that started it")]
async fn live_until_killed() {
    let redis = Redis::start().await.unwrap();
    println!("HOLDING {} {}", redis.addr(), redis.folder().display());
    std::future::pending::<()>().await;
}
