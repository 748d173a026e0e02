//! Load for a proxy.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    benches::proxy::load()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("Linux only")
}
