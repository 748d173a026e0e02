//! The least that a room server can be.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    benches::rooms::floor()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("Linux only")
}
