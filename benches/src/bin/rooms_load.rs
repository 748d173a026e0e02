//! Load for a room server.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    benches::rooms::load()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("Linux only")
}
