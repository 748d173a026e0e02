//! A room beside a model of Redis: what is said may be lost, readings are answered late, numberings change. Whatever
//! happens, members are told every number once and in order, or of a gap in its place.

use std::collections::VecDeque;

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::super::scripts::Answer;
use super::*;
use crate::backplane::Recovery;
use crate::protocol::RoomId;

/// What the room's log and channel do.
#[derive(Clone, Debug)]
enum Step {
    Append,
    /// The history loses its older half.
    Trim,
    Renumber,
    Skip,
    /// The oldest message that is on its way comes.
    Say,
    /// The oldest message that is on its way is lost: dropped, with a word about it.
    Drop,
    /// The same, and nobody says a word: only the next number can tell, or a check.
    Lose,
    /// The server answers the reading that is out, as things stand.
    Serve,
    /// The answer comes.
    Answer,
    /// The connection breaks, and everything on it; it is made anew.
    Break,
    Check,
    /// Somebody asked where the room stands, and the answer comes now.
    Recover,
    /// One more member.
    Join,
}

#[derive(Default)]
struct Model {
    epoch: u64,
    offset: u64,
    /// The first number that is kept.
    first: u64,
    on_its_way: VecDeque<Vec<u8>>,
    asked: Option<Option<Position>>,
    answer: Option<Answer>,
}

impl Model {
    fn at(&self) -> Position {
        Position::new(self.epoch.to_string(), self.offset)
    }

    fn body(&self, offset: u64) -> Vec<u8> {
        let id = format!("{}-{offset}", self.epoch);
        let room = RoomId::parse("a").unwrap();
        wire::body(&Publication::new(id, vec![room], "{}").unwrap())
    }

    fn append(&mut self) {
        self.offset += 1;
        let head = format!("E {} {} ", self.epoch, self.offset);
        self.on_its_way.push_back([head.as_bytes(), &self.body(self.offset)].concat());
    }

    fn renumber(&mut self) {
        self.epoch += 1;
        (self.offset, self.first) = (0, 1);
        self.on_its_way.push_back(format!("G {} 0 trimmed\n", self.epoch).into_bytes());
    }

    fn skip(&mut self) {
        self.offset += 1;
        self.first = self.offset + 1;
        self.on_its_way.push_back(format!("G {} {} source\n", self.epoch, self.offset).into_bytes());
    }

    fn serve(&mut self) {
        let Some(since) = self.asked.take() else { return };
        let missed = since.map(|since| {
            if *since.epoch != *self.epoch.to_string() || since.offset > self.offset {
                Err(NotRecovered::Epoch)
            } else if since.offset + 1 < self.first {
                Err(NotRecovered::Trimmed)
            } else {
                Ok((since.offset + 1..=self.offset).map(|offset| self.body(offset)).collect())
            }
        });
        self.answer = Some(Answer::Read { at: self.at(), missed });
    }
}

/// What members have been told; checked as it comes.
#[derive(Default)]
struct Member {
    at: Option<Position>,
    told: usize,
}

impl Member {
    fn hear(&mut self, told: Vec<Told>) {
        for told in told {
            self.told += 1;
            let at = self.at.as_mut().expect("nothing is told before the room is live");
            match told {
                Told::Entry(position, publication) => {
                    assert_eq!(position.epoch, at.epoch, "an epoch begins with a gap");
                    assert_eq!(position.offset, at.offset + 1, "a hole, or the same again");
                    assert_eq!(publication.id(), format!("{}-{}", position.epoch, position.offset));
                    *at = position;
                }
                Told::Gap(position, _) => {
                    let newer = position.epoch.parse::<u64>().unwrap() > at.epoch.parse::<u64>().unwrap();
                    assert!(newer || (position.epoch == at.epoch && position.offset > at.offset));
                    *at = position;
                }
            }
        }
    }
}

struct Bed {
    room: Room,
    model: Model,
    member: Member,
    due: bool,
    joined: oneshot::Receiver<Result<(), Error>>,
    live: bool,
    recoveries: Vec<oneshot::Receiver<Result<Recovery, Error>>>,
    joins: Vec<oneshot::Receiver<Result<(), Error>>>,
}

impl Bed {
    fn new() -> Self {
        let mut room = Room::new(Instant::now());
        let (join, joined) = oneshot::channel();
        assert_eq!(room.wait(Waiting::Join(join)), Next::Nothing);
        let due = room.subscribed() == Next::Read;
        let model = Model { first: 1, ..Model::default() };
        Self {
            room,
            model,
            member: Member::default(),
            due,
            joined,
            live: false,
            recoveries: Vec::new(),
            joins: Vec::new(),
        }
    }

    fn next(&mut self, next: Next) {
        self.due |= next == Next::Read;
    }

    fn pump(&mut self) {
        if self.due && self.model.asked.is_none() && self.model.answer.is_none() {
            self.due = false;
            let (since, _) = self.room.begin().expect("what is due can begin");
            self.model.asked = Some(since);
        }
    }

    fn step(&mut self, step: &Step) {
        let now = Instant::now();
        let mut told = Vec::new();
        match step {
            Step::Append => self.model.append(),
            Step::Trim => self.model.first = self.model.first.max(self.model.offset / 2 + 1),
            Step::Renumber => self.model.renumber(),
            Step::Skip => self.model.skip(),
            Step::Say => {
                if let Some(text) = self.model.on_its_way.pop_front() {
                    let next = self.room.said(text, now, &mut told);
                    self.next(next);
                }
            }
            Step::Drop => {
                if self.model.on_its_way.pop_front().is_some() {
                    let next = self.room.doubt(None);
                    self.next(next);
                }
            }
            Step::Lose => _ = self.model.on_its_way.pop_front(),
            Step::Serve => self.model.serve(),
            Step::Answer => {
                if let Some(Answer::Read { at, missed }) = self.model.answer.take() {
                    if self.member.at.is_none() {
                        self.member.at = Some(at.clone());
                    }
                    let next = self.room.read(at, missed, now, &mut told);
                    self.next(next);
                }
            }
            Step::Break => {
                self.room.deafen();
                self.model.on_its_way.clear();
                (self.model.asked, self.model.answer, self.due) = (None, None, false);
                let next = self.room.subscribed();
                self.next(next);
            }
            Step::Check => {
                let next = self.room.doubt(None);
                self.next(next);
            }
            Step::Recover => {
                let (reply, recovery) = oneshot::channel();
                let next = self.room.wait(Waiting::Recover(Recovery::new(self.model.at(), None), reply));
                self.next(next);
                self.recoveries.push(recovery);
            }
            Step::Join => {
                let (reply, join) = oneshot::channel();
                let next = self.room.wait(Waiting::Join(reply));
                self.next(next);
                self.joins.push(join);
            }
        }
        self.member.hear(told);
        if matches!(step, Step::Answer) {
            self.room.answer();
        }
        self.pump();
        self.recoveries.retain_mut(|recovery| {
            let Ok(recovery) = recovery.try_recv() else { return true };
            let (position, at) = (recovery.unwrap().position, self.member.at.as_ref().unwrap());
            let epoch = |position: &Position| position.epoch.parse::<u64>().unwrap();
            assert!(
                (epoch(&position), position.offset) <= (epoch(at), at.offset),
                "what members are told later would come again"
            );
            false
        });
        self.joins.retain_mut(|join| join.try_recv().is_err());
        if self.joined.try_recv().is_ok() {
            self.live = true;
            // Whoever joins now asks where the room stands, and must not be told less later.
            assert_eq!(self.room.last, self.member.at);
        }
    }
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Append),
        1 => Just(Step::Trim),
        1 => Just(Step::Renumber),
        1 => Just(Step::Skip),
        8 => Just(Step::Say),
        2 => Just(Step::Drop),
        2 => Just(Step::Lose),
        5 => Just(Step::Serve),
        5 => Just(Step::Answer),
        1 => Just(Step::Break),
        1 => Just(Step::Check),
        3 => Just(Step::Recover),
        2 => Just(Step::Join),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn members_are_told_everything_once_or_of_a_gap(steps in prop::collection::vec(steps(), 0..120)) {
        let mut bed = Bed::new();
        bed.pump();
        for step in &steps {
            bed.step(step);
        }
        // In the end everything that is on its way comes.
        for _ in 0..150 {
            for step in [Step::Say, Step::Serve, Step::Answer] {
                bed.step(&step);
            }
        }
        // What was lost last without a word is found by a check.
        for step in [Step::Check, Step::Serve, Step::Answer] {
            bed.step(&step);
        }
        prop_assert!(bed.live && bed.joins.is_empty() && bed.recoveries.is_empty(), "nobody waits");
        prop_assert_eq!(bed.room.state, State::Live);
        prop_assert_eq!(bed.member.at, Some(bed.model.at()));
    }
}

/// A message is lost without a word, and another one comes: the hole is read, whether the room is live or is being read.
#[test]
fn a_hole_is_read_and_not_followed() {
    for during_a_reading in [false, true] {
        let mut bed = Bed::new();
        bed.pump();
        for step in [Step::Serve, Step::Answer] {
            bed.step(&step);
        }
        if during_a_reading {
            bed.step(&Step::Check);
            bed.step(&Step::Serve);
        }
        for step in [Step::Append, Step::Lose, Step::Append, Step::Say] {
            bed.step(&step);
        }
        if during_a_reading {
            bed.step(&Step::Answer);
        }
        assert_eq!((bed.member.told, bed.room.state), (0, State::Reading), "nothing beyond the hole");
        for step in [Step::Serve, Step::Answer] {
            bed.step(&step);
        }
        assert_eq!((bed.member.told, bed.member.at), (2, Some(bed.model.at())));
        assert_eq!(bed.room.state, State::Live);
    }
}

/// A message is lost without a word, and the room says nothing more: the check of silent rooms finds it.
#[test]
fn a_check_finds_what_nobody_spoke_of() {
    let mut bed = Bed::new();
    bed.pump();
    for step in [Step::Serve, Step::Answer, Step::Append] {
        bed.step(&step);
    }
    bed.model.on_its_way.clear();
    assert_eq!(bed.member.told, 0);
    for step in [Step::Check, Step::Serve, Step::Answer] {
        bed.step(&step);
    }
    assert_eq!((bed.member.told, bed.member.at), (1, Some(bed.model.at())));
}

/// A recovery was answered from a history that is ahead of the channel: whoever asked must not hear the same events
/// again from the channel.
#[test]
fn a_recovery_ahead_of_the_channel_waits_for_it() {
    let mut bed = Bed::new();
    bed.pump();
    for step in [Step::Serve, Step::Answer, Step::Append] {
        bed.step(&step);
    }
    let (reply, mut answer) = oneshot::channel();
    let ahead = Recovery::new(bed.model.at(), None);
    let next = bed.room.wait(Waiting::Recover(ahead, reply));
    bed.next(next);
    bed.pump();
    assert!(answer.try_recv().is_err(), "members have not been told of it");
    for step in [Step::Serve, Step::Answer] {
        bed.step(&step);
    }
    assert_eq!(bed.member.told, 1);
    assert_eq!(answer.try_recv().unwrap().unwrap().position, bed.model.at());
    bed.step(&Step::Say);
    assert_eq!(bed.member.told, 1, "the channel comes late and says nothing new");
}

/// More comes during a reading than a room may hold: it is read again, and nothing is lost.
#[test]
fn a_hold_that_is_full_leads_to_another_reading() {
    let mut bed = Bed::new();
    bed.pump();
    for step in [Step::Serve, Step::Answer, Step::Check, Step::Serve] {
        bed.step(&step);
    }
    let large = vec![b'x'; HELD];
    bed.step(&Step::Append);
    bed.step(&Step::Say);
    let mut told = Vec::new();
    assert_eq!(bed.room.said(large, Instant::now(), &mut told), Next::Nothing);
    assert!(bed.room.held.is_empty() && bed.room.held_bytes == 0);
    bed.step(&Step::Answer);
    assert_eq!(bed.member.told, 0);
    for step in [Step::Serve, Step::Answer] {
        bed.step(&step);
    }
    assert_eq!((bed.member.told, bed.room.state), (1, State::Live));
}

/// What is in a stream and cannot be read is told as a gap in its place, and what follows goes on.
#[test]
fn a_foreign_entry_is_a_gap() {
    let mut bed = Bed::new();
    bed.pump();
    for step in [Step::Serve, Step::Answer, Step::Append, Step::Append, Step::Drop, Step::Serve] {
        bed.step(&step);
    }
    let Some(Answer::Read { missed: Some(Ok(bodies)), .. }) = &mut bed.model.answer else {
        panic!("a whole answer")
    };
    bodies[0] = b"not ours".to_vec();
    bed.step(&Step::Answer);
    assert_eq!((bed.member.told, bed.member.at), (2, Some(bed.model.at())));
}

/// Members join and come back all the time: nobody waits for longer than two readings, and the room is not read for ever.
#[test]
fn those_who_come_keep_nobody_waiting() {
    let mut bed = Bed::new();
    bed.pump();
    for step in [Step::Recover, Step::Join, Step::Serve, Step::Recover, Step::Join, Step::Answer] {
        bed.step(&step);
    }
    assert_eq!((bed.joins.len(), bed.recoveries.len()), (0, 0), "the reading covers all of them");
    assert_eq!(bed.room.state, State::Live);
    // One whose answer is ahead has the room read; those who come meanwhile are answered by that, and not by the next.
    for _ in 0..10 {
        for step in [Step::Append, Step::Recover, Step::Join, Step::Serve, Step::Append, Step::Recover] {
            bed.step(&step);
        }
        bed.step(&Step::Answer);
        assert_eq!((bed.joins.len(), bed.recoveries.len()), (0, 1), "but for one that is ahead of it");
        for step in [Step::Serve, Step::Answer] {
            bed.step(&step);
        }
        assert_eq!((bed.recoveries.len(), bed.room.state), (0, State::Live));
    }
}
