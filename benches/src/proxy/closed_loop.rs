//! Requests in a closed loop over kept connections.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use measure::Latency;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::answer::{self, Head};
use super::meter::Meter;
use super::report::Report;
use super::wire::{Opener, Wire};
use super::{SMALL, SMALL_PATH, Target, request};
use crate::clock::Instant;

/// One connection, which always waits for an answer.
struct Connection {
    stream: Wire,
    /// The beginning of an answer that did not come at once.
    begun: Vec<u8>,
    asked: Instant,
}

/// What is asked for, in turns.
struct Requests {
    all: Vec<Vec<u8>>,
    next: usize,
}

/// A proxy that answers nobody for so long hangs.
const SILENCE: u16 = 10_000;

/// Runs it.
///
/// # Errors
///
/// If any answer is not the right one, or there is none.
pub(super) fn run(
    target: &Target,
    connections: usize,
    warmup: Duration,
    measured: Duration,
    routes: u32,
) -> anyhow::Result<Report> {
    let opener = Opener::new(target)?;
    let mut requests = Requests::new(routes);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
    let mut all = Vec::with_capacity(connections);
    for number in 0..connections {
        let connection = Connection::open(&opener, requests.following())?;
        epoll
            .add(connection.stream.socket(), EpollEvent::new(EpollFlags::EPOLLIN, u64::try_from(number)?))?;
        all.push(connection);
    }
    let mut buffer = vec![0; 64 * 1024];
    let started = Instant::now();
    turn(&epoll, &mut all, &mut requests, &mut buffer, || started.elapsed() >= warmup, |_| {})?;
    // A minute at the rate of the fastest proxy fits.
    let mut latency = Latency::with_capacity(1 << 21);
    let mut answers = 0;
    let meter = Meter::start(target.process)?;
    let over = || meter.elapsed() >= measured;
    turn(&epoll, &mut all, &mut requests, &mut buffer, over, |taken| {
        answers += 1;
        latency.add(taken);
    })?;
    let mut report = meter.finish(answers, answers * SMALL as u64)?;
    ensure!(answers > 0, "no answer in {measured:?}");
    report.latency = Some(latency.percentiles());
    Ok(report)
}

/// Takes answers and asks again until it is `over`.
fn turn(
    epoll: &Epoll,
    all: &mut [Connection],
    requests: &mut Requests,
    buffer: &mut [u8],
    over: impl Fn() -> bool,
    mut answered: impl FnMut(Duration),
) -> anyhow::Result<()> {
    let mut events = [EpollEvent::empty(); 64];
    while !over() {
        let ready = match epoll.wait(&mut events, EpollTimeout::from(SILENCE)) {
            Ok(0) => bail!("no answer for {} s", SILENCE / 1000),
            Ok(ready) => ready,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("epoll"),
        };
        for event in &events[..ready] {
            let connection = &mut all[usize::try_from(event.data())?];
            if let Some(taken) = connection.take(buffer)? {
                answered(taken);
                connection.ask(requests.following())?;
            }
        }
    }
    Ok(())
}

// === impl Requests ===

impl Requests {
    /// One for each of so many routes; without any, for the one for everything.
    fn new(routes: u32) -> Self {
        let path = |route| format!("/shop-{route:05}/v1{SMALL_PATH}");
        let paths = (0..routes).map(path);
        let paths = if routes == 0 { vec![SMALL_PATH.to_owned()] } else { paths.collect() };
        Self { all: paths.iter().map(|path| request::get(path).into_bytes()).collect(), next: 0 }
    }

    fn following(&mut self) -> &[u8] {
        // A prime, so that neighbours in the table are none in time.
        self.next = (self.next + 7919) % self.all.len();
        &self.all[self.next]
    }
}

// === impl Connection ===

impl Connection {
    fn open(opener: &Opener<'_>, request: &[u8]) -> anyhow::Result<Self> {
        let stream = opener.open()?;
        stream.socket().set_nonblocking(true)?;
        let mut connection = Self { stream, begun: Vec::new(), asked: Instant::now() };
        connection.ask(request)?;
        Ok(connection)
    }

    /// Sends the request. It always fits: the answer of the one before is here, so the buffer is empty.
    fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.asked = Instant::now();
        let sent = self.stream.write(request).context("cannot send")?;
        ensure!(sent == request.len(), "the proxy does not read");
        Ok(())
    }

    /// Reads what there is; how long the answer took, when it is whole.
    fn take(&mut self, buffer: &mut [u8]) -> anyhow::Result<Option<Duration>> {
        let read = match self.stream.read(buffer) {
            Ok(0) => bail!("the connection was closed"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("the connection broke"),
        };
        let arrived = if self.begun.is_empty() {
            &buffer[..read]
        } else {
            self.begun.extend_from_slice(&buffer[..read]);
            &self.begun[..]
        };
        let Some(head) = Head::parse(arrived)? else {
            self.keep(&buffer[..read]);
            return Ok(None);
        };
        ensure!(head.length == SMALL as u64, "an answer of {} bytes", head.length);
        let whole = head.size + SMALL;
        ensure!(arrived.len() <= whole, "more than one answer");
        if arrived.len() < whole {
            self.keep(&buffer[..read]);
            return Ok(None);
        }
        self.begun.clear();
        Ok(Some(self.asked.elapsed()))
    }

    /// Keeps the first piece of an answer; later ones are there already.
    fn keep(&mut self, piece: &[u8]) {
        if self.begun.is_empty() {
            self.begun.extend_from_slice(piece);
        }
    }
}

/// One request and its answer on a blocking connection.
pub(super) fn once(stream: &mut (impl Read + Write), request: &[u8]) -> anyhow::Result<()> {
    stream.write_all(request).context("cannot send")?;
    let body = answer::whole(stream)?;
    ensure!(body.len() == SMALL, "an answer of {} bytes", body.len());
    Ok(())
}
