//! The origin behind a proxy under load.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    benches::proxy::origin()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("Linux only")
}
