//! The cache under load.

fn main() -> anyhow::Result<()> {
    benches::cache::main(None)
}
