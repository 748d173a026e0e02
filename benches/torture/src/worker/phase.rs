//! What the parent wants: it says so on standard input, whose end means that it is gone.

use std::io::BufRead as _;

use anyhow::Context as _;
use tokio::sync::watch;

/// What to do now.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
enum Step {
    #[default]
    Work,
    /// Nothing new, but all that is there.
    Quiet,
    Stop,
}

/// The parent's wish. Clones follow it too.
#[derive(Clone, Debug)]
pub(super) struct Phase(watch::Receiver<Step>);

/// The lines of the parent.
pub(crate) const QUIET: &str = "quiet";
pub(crate) const STOP: &str = "stop";

/// Listens in a thread of its own, which a busy runtime cannot keep from ending the process.
pub(super) fn listen() -> anyhow::Result<Phase> {
    let (step, phase) = watch::channel(Step::Work);
    let listen = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.as_str() {
                QUIET => step.send_replace(Step::Quiet),
                STOP => step.send_replace(Step::Stop),
                _ => continue,
            };
        }
        std::process::exit(1);
    };
    std::thread::Builder::new().spawn(listen).context("a thread")?;
    Ok(Phase(phase))
}

// === impl Phase ===

impl Phase {
    /// Returns when nothing new is wanted.
    pub(super) async fn quiet(&self) {
        self.reached(Step::Quiet).await;
    }

    /// Returns when the end is wanted.
    pub(super) async fn stopped(&self) {
        self.reached(Step::Stop).await;
    }

    async fn reached(&self, wanted: Step) {
        // The sender's thread ends with the process.
        let _ = self.0.clone().wait_for(|step| *step >= wanted).await;
    }
}
