//! Virtual hosts, users and limits, set through Erlang's own door: no plugin, and a tenth of a second.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time;

use crate::program;
use crate::server::rabbitmq::Permissions;

/// Far longer than it takes on a machine that compiles beside it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a virtual host under a name that nobody else has, open to `guest`, and returns the name.
///
/// `node` is `PORT:COOKIE` of the broker's node.
pub(crate) async fn fresh(node: &str) -> anyhow::Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("test-{}-{number}-{:08x}", std::process::id(), rand::random::<u32>());
    let all = r#"<<".*">>"#;
    let answer = evaluate(
        node,
        &name,
        &format!(
            r#"ok = rabbit_vhost:add(<<"{name}">>, <<"devkit">>), rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, {all}, {all}, {all}, <<"devkit">>)."#
        ),
    )
    .await?;
    ensure!(answer.trim() == "{ok, ok}", "the broker answered {answer}");
    Ok(name)
}

/// Makes a user whose password is its name, with these permissions and no other.
pub(crate) async fn user(node: &str, name: &str, vhost: &str, may: Permissions<'_>) -> anyhow::Result<()> {
    let Permissions { configure, write, read } = may;
    let answer = evaluate(
        node,
        name,
        &format!(
            r#"ok = rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{name}">>, <<"devkit">>), rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{vhost}">>, <<"{configure}">>, <<"{write}">>, <<"{read}">>, <<"devkit">>)."#
        ),
    )
    .await?;
    ensure!(answer.trim() == "{ok, ok}", "the broker answered {answer}");
    Ok(())
}

/// Sets from how much memory on the broker is short of it.
pub(crate) async fn watermark(node: &str, limit: &str) -> anyhow::Result<()> {
    let caller = format!("limit-{:08x}", rand::random::<u32>());
    let answer =
        evaluate(node, &caller, &format!("vm_memory_monitor:set_vm_memory_high_watermark({limit}).")).await?;
    ensure!(answer.trim() == "{ok, ok}", "the broker answered {answer}");
    Ok(())
}

/// Evaluates it on the broker's node; `caller` is who asks, which two at a time must not share.
async fn evaluate(node: &str, caller: &str, expression: &str) -> anyhow::Result<String> {
    let (port, cookie) = node.split_once(':').context("a node is PORT:COOKIE")?;
    let program = program::find("erl_call").context("erl_call is not installed")?;
    let mut call = Command::new(program)
        .args(["-h", caller, "-c", cookie, "-address", &format!("127.0.0.1:{port}"), "-e"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run erl_call")?;
    let mut input = call.stdin.take().context("no standard input")?;
    input.write_all(expression.as_bytes()).await?;
    input.write_all(b"\n").await?;
    // It evaluates at the end of its input.
    drop(input);
    let output = time::timeout(PATIENCE, call.wait_with_output()).await.context("no answer")??;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
