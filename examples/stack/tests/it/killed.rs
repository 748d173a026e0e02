//! `stack` killed with -9 at any moment: what was answered is kept, and its events arrive.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::api::{ADMIN, Api, CUSTOMER, VENDOR, text};
use crate::world::until;

/// Payments are made as fast as they come, and the process is killed in the middle: commits whose events are not
/// published yet, events published and not handled. After the next start every answered payment is audited, each
/// event once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_stack_loses_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let port = free_ports()?;
    let mut stack = start(folder.path(), port)?;
    let url = format!("http://127.0.0.1:{port}");
    well(&url).await?;
    let customer = Api::sign_in(&url, CUSTOMER).await?;
    let mut accepted = Vec::new();
    for _ in 0..20 {
        // The provider leaves these alone, so that each has two events and no more.
        accepted.push(text(&customer.pay("1.99", VENDOR).await?, "/id")?);
    }
    stack.kill()?;
    stack.wait()?;

    let mut stack = start(folder.path(), port)?;
    well(&url).await?;
    let admin = Api::sign_in(&url, ADMIN).await?;
    for id in &accepted {
        let mut actions = until("the payment is audited", async || {
            let actions = admin.audited(id).await?;
            Ok((actions.len() >= 2).then_some(actions))
        })
        .await?;
        actions.sort();
        assert_eq!(actions, ["payments.payment.created", "payments.payment.updated"], "{id}");
    }
    // A session of before is a session still: the key was kept.
    customer.get("/api/auth/me").await?.expect(reqwest::StatusCode::OK)?;

    // A second process does not get the files.
    let second = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["--port-base", "0", "--data"])
        .arg(folder.path())
        .stderr(Stdio::piped())
        .output()?;
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process has"));

    // SIGTERM drains and exits 0.
    let asked = Command::new("kill").args(["-TERM", &stack.id().to_string()]).status()?;
    assert!(asked.success());
    assert!(stack.wait()?.success());
    Ok(())
}

#[test]
fn a_bad_configuration_is_named_before_a_port_opens() -> anyhow::Result<()> {
    let wrong = [
        ("RATE_LIMIT_API", "many"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "[[x"),
        ("AUTH_DATABASE_URL", "mysql://x"),
    ];
    for (name, value) in wrong {
        let output =
            Command::new(env!("CARGO_BIN_EXE_stack")).arg("--ephemeral").env(name, value).output()?;
        assert_eq!(output.status.code(), Some(64), "{name}");
        let told = String::from_utf8(output.stderr)?;
        assert!(told.lines().count() == 1 && told.contains(name), "{told}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_stack")).arg("--check-config").output()?;
    assert!(output.status.success());
    Ok(())
}

fn start(data: &Path, port: u16) -> anyhow::Result<Child> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
    command.args(["--port-base", &port.to_string(), "--data"]).arg(data).stdout(Stdio::null());
    Ok(command.spawn()?)
}

async fn well(url: &str) -> anyhow::Result<()> {
    let nobody = Api::nobody(url);
    until("the stack is ready", async || Ok(nobody.get("/health").await.ok().filter(|a| a.status == 200)))
        .await
        .map(drop)
}

/// A base whose six ports are free at the moment.
fn free_ports() -> anyhow::Result<u16> {
    for base in (21_000_u16..29_000).step_by(131) {
        let offsets = [0, 1, 2, 3, 4, 100];
        let bound: Result<Vec<_>, _> =
            offsets.iter().map(|offset| std::net::TcpListener::bind(("127.0.0.1", base + offset))).collect();
        if bound.is_ok() {
            return Ok(base);
        }
    }
    anyhow::bail!("no free ports")
}
