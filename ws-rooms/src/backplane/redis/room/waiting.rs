//! Those who wait for a room's next reading.

use tokio::sync::{mpsc, oneshot};

use crate::backplane::Recovery;
use crate::error::Error;

/// How many may wait before somebody looks who has given up.
const LOOK: usize = 64;

/// What somebody waits for.
#[derive(Debug)]
pub(in super::super) enum Waiting {
    Join(oneshot::Sender<Result<(), Error>>),
    Recover(Recovery, oneshot::Sender<Result<Recovery, Error>>),
    /// Hears that the room is live, or gone, by the drop.
    Watch(mpsc::Sender<()>),
}

#[derive(Debug)]
struct Waiter {
    waiting: Waiting,
    /// Was there when the reading that is out began, which so covers what it waits for.
    is_covered: bool,
}

/// All who wait, in the order in which they came.
///
/// While Redis is away thousands come and give up. Those are dropped whenever there are twice as many as after the last
/// look, so that nobody who comes costs more than a step, and no more than twice as many are kept as wait.
#[derive(Debug)]
pub(super) struct Waiters {
    list: Vec<Waiter>,
    /// How many there are when it is time to look again.
    look_at: usize,
}

// === impl Waiters ===

impl Waiters {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), look_at: LOOK }
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.list.len() >= self.look_at {
            self.list.retain(|waiter| !waiter.waiting.is_gone());
            self.look_at = (2 * self.list.len()).max(LOOK);
        }
        self.list.push(Waiter { waiting, is_covered: false });
    }

    /// A reading begins.
    pub(super) fn cover(&mut self) {
        for waiter in &mut self.list {
            waiter.is_covered = true;
        }
    }

    /// Takes those for whom it is over; the question says whether they were there when the reading began.
    pub(super) fn take(&mut self, is_over: impl Fn(&Waiting, bool) -> bool) -> Vec<Waiting> {
        let (over, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.list)
            .into_iter()
            .partition(|waiter| is_over(&waiter.waiting, waiter.is_covered));
        self.list = left;
        self.look_at = (2 * self.list.len()).max(LOOK);
        over.into_iter().map(|waiter| waiter.waiting).collect()
    }

    /// Whether somebody waits for another reading.
    pub(super) fn want_more(&self) -> bool {
        self.list.iter().any(|waiter| matches!(waiter.waiting, Waiting::Recover(..)))
    }
}

// === impl Waiting ===

impl Waiting {
    pub(in super::super) fn answer(self) {
        // Who has given up waiting is not there to hear it.
        match self {
            Self::Join(reply) => drop(reply.send(Ok(()))),
            Self::Recover(recovery, reply) => drop(reply.send(Ok(recovery))),
            Self::Watch(_) => {}
        }
    }

    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Join(reply) => drop(reply.send(Err(error))),
            Self::Recover(_, reply) => drop(reply.send(Err(error))),
            Self::Watch(_) => {}
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Join(reply) => reply.is_closed(),
            Self::Recover(_, reply) => reply.is_closed(),
            Self::Watch(watch) => watch.is_closed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join() -> (Waiting, oneshot::Receiver<Result<(), Error>>) {
        let (reply, answer) = oneshot::channel();
        (Waiting::Join(reply), answer)
    }

    /// Many wait, and few looks are taken at all of them.
    #[test]
    fn nobody_is_looked_at_again_and_again() {
        let (mut waiters, mut answers, mut looks, mut looked) = (Waiters::new(), Vec::new(), 0, 0);
        for _ in 0..100_000 {
            let (waiting, answer) = join();
            answers.push(answer);
            let (before, length) = (waiters.look_at, waiters.list.len());
            waiters.push(waiting);
            if length >= before {
                assert!(waiters.look_at > before);
                looks += 1;
                looked += length;
            }
        }
        assert_eq!(waiters.list.len(), 100_000, "all of them wait");
        assert!(looks < 20 && looked < 200_000, "{looks} looks at {looked} of them");
    }

    #[test]
    fn those_who_have_given_up_are_no_load() {
        let (mut waiters, mut answers) = (Waiters::new(), Vec::new());
        for number in 0..10_000 {
            let (waiting, answer) = join();
            // One in a hundred goes on waiting.
            if number % 100 == 0 {
                answers.push(answer);
            }
            waiters.push(waiting);
            assert!(waiters.list.len() <= LOOK.max(2 * answers.len()) + 1, "{}", waiters.list.len());
        }
        waiters.take(|_, _| true).into_iter().for_each(Waiting::answer);
        assert!(answers.iter_mut().all(|answer| matches!(answer.try_recv(), Ok(Ok(())))));
        assert!(waiters.list.is_empty() && waiters.look_at == LOOK);
    }
}
