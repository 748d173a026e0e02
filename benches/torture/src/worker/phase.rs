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

#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    step: Step,
    /// Set while the consumers are far behind: publishers wait.
    braked: bool,
}

/// The parent's wish. Clones follow it too.
#[derive(Clone, Debug)]
pub(super) struct Phase(watch::Receiver<Wish>);

/// The lines of the parent.
pub(crate) const QUIET: &str = "quiet";
pub(crate) const STOP: &str = "stop";
pub(crate) const BRAKE: &str = "brake";
pub(crate) const GO: &str = "go";

/// Listens in a thread of its own, which a busy runtime cannot keep from ending the process.
pub(super) fn listen() -> anyhow::Result<Phase> {
    let (wish, phase) = watch::channel(Wish::default());
    let listen = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            wish.send_modify(|wish| match line.as_str() {
                QUIET => wish.step = Step::Quiet,
                STOP => wish.step = Step::Stop,
                BRAKE => wish.braked = true,
                GO => wish.braked = false,
                _ => {}
            });
        }
        std::process::exit(1);
    };
    std::thread::Builder::new().spawn(listen).context("a thread")?;
    Ok(Phase(phase))
}

// === impl Phase ===

impl Phase {
    /// Whether nothing new is wanted.
    pub(super) fn is_quiet(&self) -> bool {
        self.0.borrow().step >= Step::Quiet
    }

    /// Returns when nothing new is wanted.
    pub(super) async fn quiet(&self) {
        self.reached(|wish| wish.step >= Step::Quiet).await;
    }

    /// Returns when publishers need not wait.
    pub(super) async fn unbraked(&self) {
        self.reached(|wish| !wish.braked || wish.step >= Step::Quiet).await;
    }

    /// Returns when the end is wanted.
    pub(super) async fn stopped(&self) {
        self.reached(|wish| wish.step >= Step::Stop).await;
    }

    async fn reached(&self, wanted: impl Fn(&Wish) -> bool) {
        // The sender's thread ends with the process.
        let _ = self.0.clone().wait_for(wanted).await;
    }
}
