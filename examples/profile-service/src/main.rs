//! The profile service as a process of its own.

use std::process::ExitCode;

use chassis::config::Process;
use profile_service::{Config, Deps, build};

fn main() -> ExitCode {
    chassis::run(
        &Process::profile(),
        std::env::args().skip(1),
        std::env::vars(),
        |vars, _| Config::from_vars(vars),
        |config, shell| build(config.clone(), Deps::open(&config, shell)?),
    )
}
