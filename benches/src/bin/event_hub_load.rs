//! The event hub under load.

fn main() -> anyhow::Result<()> {
    benches::event_hub::main(None)
}
