//! The `cargo dev` commands; they live in the library, beside what they use.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    devkit::cli::run().await
}
