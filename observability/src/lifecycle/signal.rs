//! The signals that end a process.

use std::io;

/// Waits for SIGINT (Ctrl-C) or SIGTERM, and names the one that came.
///
/// # Errors
///
/// If the process cannot listen to signals.
///
/// # Cancel safety
///
/// Safe; the process keeps ignoring the signals' default action once it has been called.
pub async fn shutdown_signal() -> io::Result<&'static str> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        })
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await?;
        Ok("Ctrl-C")
    }
}
