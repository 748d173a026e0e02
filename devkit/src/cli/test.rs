//! `cargo dev test`.

mod foreign;
mod report;
pub(super) mod watched;

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use tokio::time;

use self::report::Report;
use crate::cli::{fuzz, install, npm, say, workspace};
use crate::{Postgres, RabbitMq, Redis, program};

/// What `cargo dev test` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only the tests of these packages
    #[arg(short, long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Only the tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Options for the test programs themselves
    #[arg(last = true)]
    rest: Vec<String>,
}

/// The package whose tests exchange messages with clients in other languages.
const FOREIGN: &str = "tramline-event-hub";

pub(super) async fn run(options: &Options) -> super::Outcome {
    let start = time::Instant::now();
    install::servers().await?;

    // One build for everything: programs, so that the system's test finds them, and tests, whose
    // dependencies' features differ from those of programs alone.
    let mut build = workspace::cargo(["build", "--all-features", "--lib", "--bins", "--tests", "--examples"]);
    build.args(packages(options));
    say("── build");
    if !workspace::succeeds(&mut build).await? {
        say("the build failed");
        // Alone on its line, as always: nothing ran.
        say(&Report::failed("the build").closing());
        return Ok(false);
    }
    say(&format!("── built in {:.0?}; starting RabbitMQ, Redis and PostgreSQL", start.elapsed()));
    let (rabbitmq, redis, postgres) = tokio::try_join!(RabbitMq::start(), Redis::start(), Postgres::start())
        .context("a server did not start")?;

    let mut cargo = workspace::cargo(["test", "--all-features", "--no-fail-fast"]);
    cargo.args(packages(options));
    if let Some(filter) = &options.filter {
        cargo.arg(filter);
    }
    cargo.arg("--").args(&options.rest);
    cargo
        .env("TRAMLINE_TEST_ENGINES", "required")
        .env("TRAMLINE_TEST_AMQP_URL", rabbitmq.url())
        .env("TRAMLINE_TEST_AMQP_NODE", rabbitmq.node()?)
        .env("TRAMLINE_TEST_REDIS_URL", redis.url())
        .env("TRAMLINE_TEST_POSTGRES_URL", postgres.url())
        .env("TRAMLINE_TEST_BIN_DIR", workspace::target_dir().await?.join("debug"));

    if concerns(options, FOREIGN) {
        match foreign::install().await {
            Ok(variables) => _ = cargo.envs(variables),
            // Their tests fail then, and the others still run.
            Err(error) => say(&format!("not installed: {error:#}")),
        }
    }

    say("── tests");
    let mut report = Report::default();
    let ended = watched::run(cargo, |line| {
        say(line);
        report.line(line);
    })
    .await?;
    report.ended(&ended);
    // Their runners do not know our filter.
    if options.filter.is_none() {
        for (package, folder) in workspace::browser_packages() {
            if concerns(options, &package) {
                browser_package(&folder, &mut report).await?;
            }
        }
    }
    tokio::join!(rabbitmq.stop(), redis.stop(), postgres.stop());
    for subject in fuzz::Subject::value_variants() {
        if !concerns(options, subject.package()) {
            continue;
        }
        match fuzz::smoke(*subject, options.filter.as_deref()).await {
            Ok(fuzzed) => fuzzed.into_iter().for_each(|fuzzed| report.fuzzed(fuzzed)),
            Err(error) => report.fail(&format!("fuzz: {error:#}")),
        }
    }

    for failure in report.failures() {
        say(&format!("FAILED  {failure}"));
    }
    say(&format!("── done in {:.0?}", start.elapsed()));
    say(&report.closing());
    Ok(report.good())
}

/// Installs, builds and tests one. Its tests find the browser and the programs that were built by their variables.
async fn browser_package(folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    let name = folder.strip_prefix(workspace::root()).unwrap_or(folder).display().to_string();
    say(&format!("── {name}"));
    let mut tests = npm::script(folder, "test");
    tests.env("TRAMLINE_TEST_ENGINES", "required");
    let programs = workspace::target_dir().await?.join("debug");
    tests.env("TRAMLINE_TEST_EXAMPLES", programs.join("examples")).env("TRAMLINE_TEST_BIN_DIR", programs);
    tests.envs(program::chromium().map(|chromium| ("TRAMLINE_TEST_CHROMIUM", chromium)));
    for step in [npm::install(folder), npm::script(folder, "build"), tests] {
        let ended = watched::run(step, |line| {
            say(line);
            report.npm_line(line);
        })
        .await?;
        if !report.npm_ended(&name, &ended) {
            break;
        }
    }
    Ok(())
}

fn concerns(options: &Options, package: &str) -> bool {
    options.packages.is_empty() || options.packages.iter().any(|name| name == package)
}

fn packages(options: &Options) -> Vec<String> {
    if options.packages.is_empty() {
        return vec!["--workspace".to_owned()];
    }
    options.packages.iter().flat_map(|package| ["-p".to_owned(), package.clone()]).collect()
}
