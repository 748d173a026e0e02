//! All members, and what they hear.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::Target;
use super::member::{self, Door, Member};
use super::publisher::Publisher;
use super::queues;
use super::sources::SILENCE;
use crate::clock::Instant;

/// Members in their rooms, and the one who publishes to those.
pub(super) struct Crowd<'a> {
    target: &'a Target,
    pub(super) publisher: Publisher,
    members: Vec<Member>,
    /// Connections that nobody reads.
    stuck: Vec<Member>,
    epoll: Epoll,
    buffer: Vec<u8>,
    /// How long was worked on what came.
    busy: Duration,
}

/// How many come together: no more than wait in any server's backlog.
const TOGETHER: usize = 64;

/// What a stuck member's socket takes: as little as the kernel allows.
const STUCK_BUFFER: usize = 1024;

/// Between two looks at connections that end.
const LEAVING: Duration = Duration::from_millis(10);

/// What a member reads at once: more than a burst.
const PIECE: usize = 64 * 1024;

/// What a member's socket is told of at once.
const EVENTS: usize = 512;

// === impl Crowd ===

impl<'a> Crowd<'a> {
    /// Nobody, and so many rooms of a kind: `room` for ordinary ones, `slow` for those whose slow readers are not cut.
    ///
    /// # Errors
    ///
    /// If nothing can be published.
    pub(super) fn new(target: &'a Target, kind: &str, rooms: usize) -> anyhow::Result<Self> {
        let rooms = (0..rooms).map(|number| format!("{kind}:{number}"));
        Ok(Self {
            target,
            publisher: Publisher::connect(target.control, rooms.collect())?,
            members: Vec::new(),
            stuck: Vec::new(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?,
            buffer: vec![0; PIECE],
            busy: Duration::ZERO,
        })
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// So many come to each room.
    ///
    /// # Errors
    ///
    /// If one does not get there.
    pub(super) fn fill(&mut self, members: usize) -> anyhow::Result<()> {
        let rooms = self.publisher.rooms();
        let places: Vec<usize> = (0..rooms).flat_map(|room| std::iter::repeat_n(room, members)).collect();
        for places in places.chunks(TOGETHER) {
            self.come(places)?;
        }
        Ok(())
    }

    /// Members come to the rooms at these places, all together.
    ///
    /// # Errors
    ///
    /// If one does not get there.
    pub(super) fn come(&mut self, places: &[usize]) -> anyhow::Result<()> {
        let doors: Vec<Door<'_>> = places.iter().map(|place| self.publisher.door(*place)).collect();
        let first = self.members.len();
        let come = member::come(self.target, first, &doors, None)
            .with_context(|| format!("one of {} members after {first}", places.len()))?;
        for (number, member) in (first..).zip(come) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, u64::try_from(number)?);
            self.epoll.add(member.socket(), event)?;
            self.members.push(member);
        }
        Ok(())
    }

    /// So many come to the first room and never read again.
    ///
    /// # Errors
    ///
    /// If one does not get there.
    pub(super) fn stick(&mut self, count: usize) -> anyhow::Result<()> {
        let doors: Vec<Door<'_>> = (0..count).map(|_| self.publisher.door(0)).collect();
        let first = self.members.len() + self.stuck.len();
        let stuck = member::come(self.target, first, &doors, Some(STUCK_BUFFER)).context("a stuck member")?;
        self.stuck.extend(stuck);
        Ok(())
    }

    /// What the server's kernel holds for each of those who are stuck.
    ///
    /// # Errors
    ///
    /// If one of them has no connection any more.
    pub(super) fn waiting(&self) -> anyhow::Result<Vec<u64>> {
        let waiting = queues::waiting(self.target.addr, &self.stuck_addrs()?)?;
        waiting.into_iter().map(|bytes| bytes.context("a stuck member's connection was closed")).collect()
    }

    /// Those who are stuck leave, and the server's side of their connections is gone.
    ///
    /// # Errors
    ///
    /// If the server keeps one.
    pub(super) fn unstick(&mut self) -> anyhow::Result<()> {
        let addrs = self.stuck_addrs()?;
        self.stuck.clear();
        let left = Instant::now();
        while queues::waiting(self.target.addr, &addrs)?.iter().any(Option::is_some) {
            ensure!(left.elapsed() < SILENCE, "the server keeps a connection that was reset");
            self.rest(LEAVING)?;
        }
        Ok(())
    }

    fn stuck_addrs(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.stuck.iter().map(|member| Ok(member.socket().local_addr()?)).collect()
    }

    /// Waits for what comes, until then at most, and hands each event over by its room and number. Whether anything came.
    ///
    /// # Errors
    ///
    /// As [`Member::hear`].
    pub(super) fn hear(&mut self, until: Instant, heard: impl FnMut(usize, u64)) -> anyhow::Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        self.turn(EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX), heard)
    }

    fn turn(&mut self, limit: EpollTimeout, mut heard: impl FnMut(usize, u64)) -> anyhow::Result<bool> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let ready = match self.epoll.wait(&mut events, limit) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error).context("epoll"),
        };
        if ready == 0 {
            return Ok(false);
        }
        let started = Instant::now();
        for event in &events[..ready] {
            let member = &mut self.members[usize::try_from(event.data())?];
            let room = member.room;
            member.hear(&mut self.buffer, |number| heard(room, number))?;
        }
        self.busy += started.elapsed();
        Ok(true)
    }

    /// How long was worked on what came, since this was asked the last time.
    pub(super) fn busy(&mut self) -> Duration {
        std::mem::take(&mut self.busy)
    }

    /// Hears so many deliveries, and never sleeps meanwhile: who sends to a sleeping reader has to wake it, and a slow server
    /// would find us asleep more often than a fast one.
    ///
    /// # Errors
    ///
    /// As [`Member::hear`], or if nothing comes for a while.
    pub(super) fn hear_all(&mut self, deliveries: usize) -> anyhow::Result<()> {
        let mut left = deliveries;
        let mut last = Instant::now();
        while left > 0 {
            if self.turn(EpollTimeout::ZERO, |_, _| left = left.saturating_sub(1))? {
                last = Instant::now();
            }
            ensure!(last.elapsed() < SILENCE, "{left} of {deliveries} deliveries did not come");
        }
        Ok(())
    }

    /// Has time pass, and answers signs of life meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Member::hear`], or if an event comes that nobody has published.
    pub(super) fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        let mut unasked = 0;
        while Instant::now() < until {
            self.hear(until, |_, _| unasked += 1)?;
        }
        ensure!(unasked == 0, "{unasked} events that nobody published");
        Ok(())
    }
}
