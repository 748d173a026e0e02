//! The worker processes: started, killed with -9, started again.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::args::{Role, WorkerArgs};
use crate::lines::Line;
use crate::log::Log;
use crate::plan::sub_seed;
use crate::report::say;
use crate::tally::Counts;
use crate::worker::phase::{BRAKE, GO, QUIET, STOP};

/// All of them.
pub(crate) struct Workers {
    slots: Vec<Slot>,
    /// Those that ended by themselves, which none should.
    surprises: Mutex<Vec<String>>,
}

/// A place that has one process after the other.
struct Slot {
    args: WorkerArgs,
    /// Held while the process is being replaced.
    life: tokio::sync::Mutex<Life>,
    counts: Arc<Mutex<Told>>,
    log: Log,
}

#[derive(Default)]
struct Life {
    number: u64,
    process: Option<Process>,
    /// Whether this one was told to wait.
    braked: bool,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    /// Reads what it counts.
    reader: JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    /// Of the lives before.
    before: Counts,
    now: Counts,
}

/// Two that share the work, two relays that share an outbox, one keeper of the dead letters, and two that publish.
const SLOTS: [(Role, u64); 4] =
    [(Role::Consumer, 2), (Role::Outbox, 2), (Role::Letters, 1), (Role::Publisher, 2)];

/// A consumer drains for ten seconds at most, and its connections then close.
const STOP_LIMIT: Duration = Duration::from_secs(40);

// === impl Workers ===

impl Workers {
    /// Starts all.
    pub(crate) async fn start(amqp: &str, postgres: &str, log: &Log, seed: u64) -> anyhow::Result<Self> {
        let places = SLOTS.iter().flat_map(|&(role, count)| (1..=count).map(move |n| (role, n)));
        let slots = places.map(|(role, n)| {
            let name = format!("{} {n}", role.name());
            let seed = sub_seed(seed, 100 * (role as u64 + 1) + n);
            let args = WorkerArgs { role, name, amqp: amqp.to_owned(), postgres: postgres.to_owned(), seed };
            Slot { args, life: tokio::sync::Mutex::default(), counts: Arc::default(), log: log.clone() }
        });
        let workers = Self { slots: slots.collect(), surprises: Mutex::default() };
        for slot in &workers.slots {
            slot.spawn(&mut *slot.life.lock().await)?;
        }
        Ok(workers)
    }

    /// Kills one of a role, and starts it again after a while.
    pub(crate) async fn kill(&self, role: Role, which: u32, pause: Duration) -> anyhow::Result<()> {
        let of_role: Vec<&Slot> = self.slots.iter().filter(|slot| slot.args.role == role).collect();
        let slot = of_role[usize::try_from(which)? % of_role.len()];
        let mut life = slot.life.lock().await;
        if let Some(mut process) = life.process.take() {
            if let Some(status) = process.child.try_wait()? {
                self.surprise(slot, status);
            }
            process.child.start_kill().ok();
            process.child.wait().await?;
            slot.close(process).await;
        }
        sleep(pause).await;
        slot.spawn(&mut life)
    }

    /// Starts again what ended by itself, and remembers that it did.
    pub(crate) async fn revive(&self) -> anyhow::Result<()> {
        for slot in &self.slots {
            let Ok(mut life) = slot.life.try_lock() else { continue };
            let ended = life.process.as_mut().map(|process| process.child.try_wait()).transpose()?.flatten();
            if let Some(status) = ended {
                self.surprise(slot, status);
                if let Some(process) = life.process.take() {
                    slot.close(process).await;
                }
                slot.spawn(&mut life)?;
            }
        }
        Ok(())
    }

    /// How many publish.
    pub(crate) fn publishers(&self) -> usize {
        self.slots.iter().filter(|slot| slot.args.role == Role::Publisher).count()
    }

    /// Has publishers wait, or go on; those that come later too.
    pub(crate) async fn brake(&self, on: bool) {
        for slot in self.slots.iter().filter(|slot| slot.args.role == Role::Publisher) {
            // One that is being replaced is told at the next look.
            let Ok(mut life) = slot.life.try_lock() else { continue };
            if life.braked != on && life.process.is_some() {
                life.braked = on;
                life.tell(if on { BRAKE } else { GO }).await;
            }
        }
    }

    /// Has nothing new written any more.
    pub(crate) async fn quiet(&self) {
        for slot in &self.slots {
            slot.tell(QUIET).await;
        }
    }

    /// Ends all in good order. What does not end so is a surprise.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        for slot in &self.slots {
            slot.tell(STOP).await;
        }
        for slot in &self.slots {
            let Some(mut process) = slot.life.lock().await.process.take() else { continue };
            match timeout(STOP_LIMIT, process.child.wait()).await {
                Ok(status) => {
                    let status = status?;
                    if !status.success() {
                        self.surprise(slot, status);
                    }
                }
                Err(_) => {
                    let words = format!("{} had not drained after {STOP_LIMIT:?}", slot.args.name);
                    self.surprises.lock().unwrap_or_else(PoisonError::into_inner).push(words);
                    process.child.kill().await?;
                }
            }
            slot.close(process).await;
        }
        Ok(())
    }

    /// What they have counted in all their lives.
    pub(crate) fn counts(&self) -> Counts {
        self.slots.iter().fold(Counts::default(), |sum, slot| {
            let told = slot.counts.lock().unwrap_or_else(PoisonError::into_inner);
            sum.plus(told.before).plus(told.now)
        })
    }

    pub(crate) fn surprises(&self) -> Vec<String> {
        self.surprises.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn surprise(&self, slot: &Slot, status: ExitStatus) {
        let words = format!("{} ended by itself with {status}", slot.args.name);
        self.surprises.lock().unwrap_or_else(PoisonError::into_inner).push(words);
    }
}

// === impl Slot ===

impl Slot {
    fn spawn(&self, life: &mut Life) -> anyhow::Result<()> {
        ensure!(life.process.is_none(), "{} lives", self.args.name);
        life.number += 1;
        let args = &self.args;
        let mut child = Command::new(std::env::current_exe().context("our own program")?)
            .args(["worker", args.role.name(), "--name", &args.name])
            .args(["--amqp", &args.amqp, "--postgres", &args.postgres])
            // Another life, other events.
            .args(["--seed", &sub_seed(args.seed, life.number).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Out of the way of Ctrl-C, which is the parent's to hear. Its end is the end of the worker's input.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", args.name))?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (counts, log, name) = (Arc::clone(&self.counts), self.log.clone(), args.name.clone());
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(Line::Counts(told)) => {
                        counts.lock().unwrap_or_else(PoisonError::into_inner).now = told;
                    }
                    Ok(line) => log.note(line),
                    // One that the kill cut in two is no line.
                    Err(_) if line.starts_with('{') => {}
                    Err(_) => say(&format!("{name}: {line}")),
                }
            }
        });
        (life.process, life.braked) = (Some(Process { child, stdin, reader }), false);
        Ok(())
    }

    /// Adds up what a process that has ended told.
    async fn close(&self, process: Process) {
        // Its last lines are still in the pipe.
        let _ = process.reader.await;
        let mut told = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        told.before = told.before.plus(told.now);
        told.now = Counts::default();
    }

    async fn tell(&self, word: &str) {
        self.life.lock().await.tell(word).await;
    }
}

// === impl Life ===

impl Life {
    async fn tell(&mut self, word: &str) {
        if let Some(process) = &mut self.process {
            // One that has just ended hears nothing, and is found by the next look.
            let _ = process.stdin.write_all(format!("{word}\n").as_bytes()).await;
        }
    }
}
