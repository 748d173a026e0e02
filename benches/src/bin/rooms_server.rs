//! Our rooms as a service has them.

fn main() -> anyhow::Result<()> {
    benches::rooms_server::run()
}
