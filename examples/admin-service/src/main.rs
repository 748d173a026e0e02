//! The admin service as a process of its own.

use std::process::ExitCode;

use admin_service::{Config, Deps, build};
use chassis::config::Process;

fn main() -> ExitCode {
    chassis::run(
        &Process::admin(),
        std::env::args().skip(1),
        std::env::vars(),
        |vars, _| Config::from_vars(vars),
        |config, shell| build(config.clone(), Deps::open(&config, shell)?),
    )
}
