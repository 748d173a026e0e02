//! Finds what the tests need, or installs it.

use std::process::Stdio;

use anyhow::{bail, ensure};
use nix::unistd;
use tokio::process::Command;

use crate::cli::say;
use crate::{Nginx, Postgres, RabbitMq, Redis, program};

#[derive(Clone, Copy)]
struct Need {
    /// Debian's package.
    package: &'static str,
    there: fn() -> bool,
}

const NEEDS: [Need; 6] = [
    Need { package: "rabbitmq-server", there: RabbitMq::installed },
    Need { package: "redis-server", there: Redis::installed },
    Need { package: "postgresql", there: Postgres::installed },
    Need { package: "nginx", there: Nginx::installed },
    Need { package: "chromium", there: || program::chromium().is_some() },
    Need { package: "python3-venv", there: python },
];

const PROXIES: [Need; 3] = [
    Need { package: "nginx", there: Nginx::installed },
    Need { package: "haproxy", there: || program::find("haproxy").is_some() },
    // Pingora builds a library in C with it.
    Need { package: "cmake", there: || program::find("cmake").is_some() },
];

/// libFuzzer is C++, and comes with its sources.
const FUZZING: [Need; 1] = [Need {
    package: "g++",
    there: || {
        std::env::var_os("CXX").is_some() || ["c++", "g++"].iter().any(|name| program::find(name).is_some())
    },
}];

/// Makes sure that every server is there: installs what is missing where we may, else says what to
/// install.
pub(super) async fn servers() -> anyhow::Result<()> {
    install(&NEEDS).await
}

/// The same for what the system itself needs.
pub(super) async fn engines() -> anyhow::Result<()> {
    install(&NEEDS[..3]).await
}

/// RabbitMQ alone.
pub(super) async fn broker() -> anyhow::Result<()> {
    install(&NEEDS[..1]).await
}

/// Redis alone.
pub(super) async fn redis() -> anyhow::Result<()> {
    install(&NEEDS[1..2]).await
}

/// RabbitMQ and PostgreSQL.
pub(super) async fn torture() -> anyhow::Result<()> {
    install(&NEEDS[..1]).await?;
    install(&NEEDS[2..3]).await
}

/// Of what stands beside our proxy in a measurement, and of what that is built with: these packages.
pub(super) async fn proxies(packages: &[&str]) -> anyhow::Result<()> {
    let needs: Vec<Need> = PROXIES.into_iter().filter(|need| packages.contains(&need.package)).collect();
    install(&needs).await
}

/// What the fuzz targets are built with.
pub(super) async fn fuzzing() -> anyhow::Result<()> {
    install(&FUZZING).await
}

async fn install(needs: &[Need]) -> anyhow::Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let apt = program::find("apt-get");
    match apt {
        Some(apt) if unistd::geteuid().is_root() => {
            say(&format!("installing {list}"));
            let run = async |args: &[&str]| {
                let status = Command::new(&apt)
                    .args(args)
                    .env("DEBIAN_FRONTEND", "noninteractive")
                    .stdin(Stdio::null())
                    .status()
                    .await?;
                anyhow::Ok(status.success())
            };
            // A stale list is better than none: the installation tells whether it was enough.
            run(&["update", "-q"]).await?;
            let mut args = vec!["install", "-q", "-y", "--no-install-recommends"];
            args.extend(&missing);
            ensure!(run(&args).await?, "cannot install {list}");
        }
        Some(_) => bail!(
            "missing: {list}; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends {list}"
        ),
        None => bail!("missing: {list} (these are Debian's names); install them and run this again"),
    }
    let still = self::missing(needs);
    ensure!(still.is_empty(), "still missing after the installation: {}", still.join(" "));
    Ok(())
}

fn missing(needs: &[Need]) -> Vec<&'static str> {
    needs.iter().filter(|need| !(need.there)()).map(|need| need.package).collect()
}

/// A Python that can make environments, which Debian has in a package of its own.
fn python() -> bool {
    let ask = |python| std::process::Command::new(python).args(["-c", "import ensurepip, venv"]).output();
    program::find("python3").is_some_and(|python| ask(python).is_ok_and(|output| output.status.success()))
}
