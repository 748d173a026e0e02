//! The auth service as a process of its own, and the command that makes the first admin.

use std::process::ExitCode;

use auth_service::{Config, Deps, build, create_admin};
use chassis::config::Process;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|command| command == "create-admin") {
        return create_admin(&args[1..], std::env::vars());
    }
    chassis::run(
        &Process::auth(),
        args,
        std::env::vars(),
        |vars, _| Config::from_vars(vars),
        |config, shell| {
            let deps = Deps::open(&config, shell)?;
            build(config, deps)
        },
    )
}
