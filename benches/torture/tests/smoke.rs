//! A short run with a fixed seed: every part of the program works, and nothing is lost.

use std::process::Stdio;

use tokio::process::Command;

/// Long enough for a fault in every lane. What the machine makes of it differs; `cargo dev torture` runs longer.
const RUN: [&str; 4] = ["--seconds", "15", "--seed", "21"];

#[tokio::test]
async fn a_short_run_loses_nothing() {
    // It starts its own, which it kills; these say so when there are none, or fail when there must be.
    if devkit::engines::amqp().await.is_none() || devkit::engines::postgres().await.is_none() {
        return;
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_event-hub-torture"));
    program.args(RUN).stdin(Stdio::null()).kill_on_drop(true);
    let output = program.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for words in ["nothing lost, seed 21", "publisher killed", "consumer killed", "outbox killed"] {
        assert!(said.contains(words), "no «{words}» in\n{said}");
    }
}
