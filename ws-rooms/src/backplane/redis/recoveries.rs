//! Recoveries: so many at a time, the others wait for their turn.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use crate::backplane::{Recovery, RecoveryBounds};
use crate::error::{Error, ErrorKind};
use crate::protocol::{Position, RoomId};

/// Recoveries that are asked for at once: their answers are as long as a history, and share a connection with what
/// fills the rooms.
const OUT: usize = 64;
/// Recoveries that wait for their turn, or for a Redis that is away. Beyond it they are refused, and the clients come back.
const WAITING: usize = 4_096;

/// What a recovery asks for, and who asks.
#[derive(Debug)]
pub(super) struct Recover {
    pub(super) room: RoomId,
    pub(super) since: Option<Position>,
    pub(super) bounds: RecoveryBounds,
    /// Closed when the asker's patience is over.
    pub(super) reply: oneshot::Sender<Result<Recovery, Error>>,
}

/// Recoveries that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Recoveries {
    waiting: VecDeque<Recover>,
    /// Asked for, by ticket.
    out: BTreeMap<u64, Recover>,
    ticket: u64,
}

// === impl Recoveries ===

impl Recoveries {
    /// Has one wait for its turn.
    pub(super) fn ask(&mut self, recover: Recover) {
        if self.waiting.len() >= WAITING {
            self.waiting.retain(|recover| !recover.reply.is_closed());
        }
        if self.waiting.len() < WAITING {
            self.waiting.push_back(recover);
        } else {
            drop(recover.reply.send(Err(Error::new(ErrorKind::Backplane))));
        }
    }

    /// The next one whose turn it is, and the ticket that [`take`](Self::take) wants.
    pub(super) fn next(&mut self) -> Option<(u64, &Recover)> {
        while self.out.len() < OUT {
            let recover = self.waiting.pop_front()?;
            // Who has given up need not be read for.
            if !recover.reply.is_closed() {
                self.ticket += 1;
                return Some((self.ticket, self.out.entry(self.ticket).or_insert(recover)));
            }
        }
        None
    }

    /// Its answer has come, or none will.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Recover> {
        self.out.remove(&ticket)
    }

    /// The connection is gone: those that are out are the first to be asked for on the next one.
    pub(super) fn unask(&mut self) {
        for recover in std::mem::take(&mut self.out).into_values().rev() {
            self.waiting.push_front(recover);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<Recovery, Error>>;

    fn ask(recoveries: &mut Recoveries, room: usize) -> Answer {
        let (reply, answer) = oneshot::channel();
        let room = RoomId::parse(&format!("r{room}")).unwrap();
        recoveries.ask(Recover { room, since: None, bounds: RecoveryBounds::new(1, 1), reply });
        answer
    }

    fn begin(recoveries: &mut Recoveries) -> Vec<(u64, String)> {
        let mut begun = Vec::new();
        while let Some((ticket, recover)) = recoveries.next() {
            begun.push((ticket, recover.room.to_string()));
        }
        begun
    }

    #[test]
    fn so_many_are_out_and_no_more() {
        let mut recoveries = Recoveries::default();
        let mut answers: Vec<Answer> = (0..OUT + 3).map(|room| ask(&mut recoveries, room)).collect();
        // One has given up before its turn.
        answers.remove(OUT);
        let begun = begin(&mut recoveries);
        assert_eq!(begun.len(), OUT);
        assert_eq!((begun[0].1.as_str(), begun[OUT - 1].1.as_str()), ("r0", "r63"));
        assert!(recoveries.take(begun[5].0).is_some());
        assert!(recoveries.take(begun[5].0).is_none(), "once");
        assert_eq!(begin(&mut recoveries).into_iter().map(|(_, room)| room).collect::<Vec<_>>(), ["r65"]);
    }

    /// A connection that breaks takes no recovery with it.
    #[test]
    fn what_was_out_is_asked_for_again_and_first() {
        let mut recoveries = Recoveries::default();
        let _answers: Vec<Answer> = (0..OUT + 1).map(|room| ask(&mut recoveries, room)).collect();
        let first = begin(&mut recoveries);
        recoveries.unask();
        let second = begin(&mut recoveries);
        let rooms = |begun: &[(u64, String)]| begun.iter().map(|(_, room)| room.clone()).collect::<Vec<_>>();
        assert_eq!(rooms(&first), rooms(&second));
        assert!(recoveries.take(first[0].0).is_none(), "an answer that the old connection owes");
    }

    #[test]
    fn beyond_the_bound_they_are_refused() {
        let mut recoveries = Recoveries::default();
        let mut answers: Vec<Answer> = (0..WAITING).map(|room| ask(&mut recoveries, room)).collect();
        let mut late = ask(&mut recoveries, WAITING);
        assert!(late.try_recv().unwrap().is_err());
        // Those who have given up are no load.
        answers.truncate(1);
        let mut next = ask(&mut recoveries, WAITING);
        assert!(next.try_recv().is_err(), "it waits");
    }
}
