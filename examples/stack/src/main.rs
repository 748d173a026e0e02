//! One command starts the whole system.

use std::process::ExitCode;

use chassis::config::Vars;
use stack::{Options, Stack, StackError, banner};
use tokio::time::Instant;

fn main() -> ExitCode {
    let started = Instant::now();
    let vars = Vars::new(std::env::vars());
    let options = match Options::parse(std::env::args(), &vars) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => return chassis::run::wrong_config("stack", &error),
    };
    chassis::run::install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&StackError::from(error)),
    };
    runtime.block_on(async {
        match Stack::bind(options).await {
            Ok(stack) => stack.run(|system| banner(system, started.elapsed())).await,
            Err(StackError::Config(error)) => chassis::run::wrong_config("stack", &error),
            Err(error) => fail(&error),
        }
    })
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn fail(error: &StackError) -> ExitCode {
    eprintln!("stack: {error}");
    ExitCode::FAILURE
}
