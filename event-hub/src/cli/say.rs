//! Writing lines: answers on standard output, everything else on standard error.

use std::io::{self, ErrorKind, Write as _};

use tokio::time::{Duration, Instant};

/// Progress on standard error, once a second at most.
#[derive(Debug)]
pub(crate) struct Progress {
    last: Instant,
}

/// Writes a line of the answer.
///
/// # Errors
///
/// That of the write; a closed pipe says that nobody wants more.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// Writes a line to standard error. When that is closed there is nobody to tell.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

// === impl Progress ===

impl Progress {
    pub(crate) fn new() -> Self {
        Self { last: Instant::now() }
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.last.elapsed() >= Duration::from_secs(1) {
            self.last = Instant::now();
            tell(&line());
        }
    }
}
