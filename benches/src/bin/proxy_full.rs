//! Our proxy with everything on.

fn main() -> anyhow::Result<()> {
    benches::proxy_full::run()
}
