//! The gateway as a process of its own.

use std::process::ExitCode;

use chassis::config::Process;
use gateway::{Config, Deps, build};

fn main() -> ExitCode {
    chassis::run(
        &Process::gateway(),
        std::env::args().skip(1),
        std::env::vars(),
        |vars, _| Config::from_vars(vars),
        |config, shell| build(config, Deps::open(shell)?),
    )
}
