//! `cargo dev up`.

use std::io::IsTerminal;

use anyhow::Context;

use crate::cli::{interrupted, say, workspace};
use crate::ports::Port;
use crate::system::environment::Environment;
use crate::system::service::{Ports, Service};
use crate::{Postgres, RabbitMq, Redis, System, SystemConfig};

/// What `cargo dev up` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Starts the five processes too, with the demo accounts
    #[arg(long)]
    services: bool,
    /// Builds and runs them as release programs
    #[arg(long, requires = "services")]
    release: bool,
    /// The gateway's port; services on the next four, admin listeners 100 above; 0 takes free ports
    #[arg(long, default_value_t = 3000)]
    port_base: u16,
}

const ACCOUNTS: &str = "admin@example.com, vendor@example.com, customer@example.com";
const PASSWORD: &str = "TestPassword123!";

/// Variables that a process on one machine does without.
const OPTIONAL: &str = "RABBITMQ_MANAGEMENT_URL TRUSTED_PROXIES INSTANCE_ID OTEL_EXPORTER_OTLP_ENDPOINT SENTRY_DSN \
     SENTRY_ENVIRONMENT LOG_FORMAT RUST_LOG DRAIN_TIMEOUT";

pub(super) async fn run(options: &Options) -> super::Outcome {
    super::install::engines().await?;
    if options.services { services(options).await } else { servers(options).await }
}

async fn servers(options: &Options) -> super::Outcome {
    let start = async { tokio::try_join!(RabbitMq::start(), Redis::start(), Postgres::start()) };
    let Some(started) = or_stop(start).await? else { return Ok(true) };
    let (rabbitmq, redis, postgres) = started;
    let base = options.port_base;
    let pair = |offset: u16| {
        let port = base.checked_add(offset).context("the port is too high")?;
        let admin = port.checked_add(100).context("the port is too high")?;
        anyhow::Ok([Port::fixed(port), Port::fixed(admin)])
    };
    let ports = Ports::new((0..5).map(pair).collect::<anyhow::Result<_>>()?);
    let folder = workspace::root().join("data").join("dev");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let environment = Environment::new(&ports, &folder, &rabbitmq, &redis, &postgres).await?;

    say("# For tests:");
    say("export TRAMLINE_TEST_ENGINES=required");
    say(&format!("export TRAMLINE_TEST_AMQP_URL='{}'", rabbitmq.url()));
    say(&format!("export TRAMLINE_TEST_AMQP_NODE='{}'", rabbitmq.node()?));
    say(&format!("export TRAMLINE_TEST_REDIS_URL='{}'", redis.url()));
    say(&format!("export TRAMLINE_TEST_POSTGRES_URL='{}'", postgres.url()));
    say("# For the five processes:");
    for (name, value) in environment.common() {
        say(&format!("export {name}='{value}'"));
    }
    for service in Service::ALL {
        let seed = if service == Service::Gateway { "" } else { " -- --demo-seed" };
        say(&format!(
            "# PORT={} ADMIN_ADDR=127.0.0.1:{} cargo run -p {}{seed}",
            ports.http(service),
            ports.admin(service),
            service.package()
        ));
    }
    say("# Optional, each with a default:");
    say(&format!("# {OPTIONAL}"));
    say("# Running; Ctrl-C stops the servers and drops their data.");
    interrupted().await;
    say("# Stopping.");
    tokio::join!(rabbitmq.stop(), redis.stop(), postgres.stop());
    Ok(true)
}

async fn services(options: &Options) -> super::Outcome {
    let config = SystemConfig {
        port_base: (options.port_base != 0).then_some(options.port_base),
        release: options.release,
        folder: Some(workspace::root().join("data").join("dev")),
        ..SystemConfig::default()
    };
    say("Building and starting: RabbitMQ, Redis, PostgreSQL, gateway, auth, payments, admin, profile …");
    let Some(system) = or_stop(System::start_with(config)).await? else { return Ok(true) };

    let bold = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    say(&format!("\n  {}{}{}", bold.0, system.url().replace("127.0.0.1", "localhost"), bold.1));
    say(&format!("\n  accounts  {ACCOUNTS}"));
    say(&format!("  password  {PASSWORD}"));
    say(&format!("  webhooks  signed with {}", system.webhook_secret()));
    for service in Service::ALL {
        let process = system.process(service);
        say(&format!(
            "  {:<9} {}  admin {}  log {}",
            service.name(),
            process.url(),
            process.admin_url(),
            process.log().display()
        ));
    }
    say(&format!("  RabbitMQ  {}", system.rabbitmq().url()));
    say(&format!("  Redis     {}", system.redis().url()));
    say(&format!("  databases {}", system.postgres().url()));
    say("\n  Ctrl-C drains and stops everything.");
    interrupted().await;
    say("Stopping; once more kills.");
    // At a second Ctrl-C the future is dropped, and everything with it.
    let ends = tokio::select! {
        ends = system.stop() => ends,
        () = interrupted() => return Ok(false),
    };
    let mut good = true;
    for (service, status) in ends {
        if !status.is_some_and(|status| status.success()) {
            let end =
                status.map_or_else(|| "had to be killed".to_owned(), |status| format!("ended with {status}"));
            say(&format!("{} {end}", service.package()));
            good = false;
        }
    }
    Ok(good)
}

/// Runs it unless interrupted; then `None`, with everything dropped.
async fn or_stop<T>(start: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Option<T>> {
    tokio::select! {
        started = start => started.map(Some),
        () = interrupted() => Ok(None),
    }
}
