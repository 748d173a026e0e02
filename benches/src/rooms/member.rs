//! One member: its socket, and which event comes next.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, bail, ensure};

use super::dialect::{ACCEPT, Dialect, Step};
use super::frames::{self, Frame, Frames};
use super::{Target, event, sources};

/// A member in its room.
#[derive(Debug)]
pub(super) struct Member {
    stream: TcpStream,
    frames: Frames,
    dialect: Dialect,
    /// The place of its room in a list.
    pub(super) room: usize,
    /// The number of the event that comes next.
    next: u64,
}

/// A connection on its way into a room.
struct Coming {
    stream: TcpStream,
    frames: Frames,
    texts: VecDeque<Vec<u8>>,
    steps: VecDeque<Step>,
}

/// What members come for: a room of this name, at this place of a list, in which this event is the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door<'a> {
    pub(super) name: &'a str,
    pub(super) place: usize,
    pub(super) next: u64,
}

/// No answer to a handshake has a longer head.
const LONGEST_HEAD: usize = 4096;

/// Opens connections and joins their rooms, all of them step by step together. The first one is the member of number
/// `first`.
///
/// # Errors
///
/// If one does not get there.
pub(super) fn come(
    target: &Target,
    first: usize,
    rooms: &[Door<'_>],
    receive_buffer: Option<usize>,
) -> anyhow::Result<Vec<Member>> {
    let mut all = Vec::with_capacity(rooms.len());
    for (number, room) in (first..).zip(rooms) {
        let mut stream = sources::connect(target.addr, number, receive_buffer)?;
        stream.write_all(target.dialect.handshake(target.addr, room.name, number).as_bytes())?;
        let steps = target.dialect.steps(room.name).into();
        all.push(Coming { stream, frames: Frames::default(), texts: VecDeque::new(), steps });
    }
    for coming in &mut all {
        coming.shake_hands()?;
    }
    while all.iter().any(|coming| !coming.steps.is_empty()) {
        for coming in &mut all {
            coming.step()?;
        }
    }
    let member = |(coming, room): (Coming, &Door<'_>)| {
        let Coming { stream, frames, .. } = coming;
        stream.set_nonblocking(true)?;
        Ok(Member { stream, frames, dialect: target.dialect, room: room.place, next: room.next })
    };
    all.into_iter().zip(rooms).map(member).collect()
}

// === impl Member ===

impl Member {
    pub(super) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads what there is and hands the number of each event over; answers signs of life.
    ///
    /// # Errors
    ///
    /// If an event is missing, or comes twice, or out of order; if the connection ends.
    pub(super) fn hear(&mut self, buffer: &mut [u8], mut heard: impl FnMut(u64)) -> anyhow::Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(0) => bail!("a member's connection was closed"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("a member's connection broke"),
        };
        let Self { stream, frames, dialect, next, .. } = self;
        frames.feed(&buffer[..read], |frame| {
            let answer = match frame {
                Frame::Text(text) => match event::number(text, dialect.envelope())? {
                    Some(number) => {
                        ensure!(number == *next, "event {number} came instead of {next}");
                        *next += 1;
                        heard(number);
                        return Ok(());
                    }
                    None => dialect.answer(text),
                },
                Frame::Ping(payload) => Some(frames::pong(payload)),
                Frame::Pong => None,
                Frame::Close => bail!("the server closed a member's connection"),
            };
            if let Some(answer) = answer {
                // It always fits: a member says nothing else.
                stream.write_all(&answer).context("cannot answer a ping")?;
            }
            Ok(())
        })
    }
}

// === impl Coming ===

impl Coming {
    /// Reads the answer to the handshake.
    fn shake_hands(&mut self) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            ensure!(bytes.len() < LONGEST_HEAD, "the handshake's answer does not end");
            bytes.extend_from_slice(&read(&mut self.stream)?);
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        ensure!(head.starts_with("HTTP/1.1 101"), "no handshake: {head}");
        ensure!(head.contains(ACCEPT), "another key is answered: {head}");
        self.take(&bytes[end + 4..])
    }

    /// Takes its next step, if there is one.
    fn step(&mut self) -> anyhow::Result<()> {
        match self.steps.pop_front() {
            None => Ok(()),
            Some(Step::Say(frame)) => self.stream.write_all(&frame).context("cannot join"),
            Some(Step::Hear(wanted)) => loop {
                let has = |text: &Vec<u8>| text.windows(wanted.len()).any(|part| part == wanted.as_bytes());
                if let Some(at) = self.texts.iter().position(has) {
                    self.texts.drain(..=at);
                    return Ok(());
                }
                let bytes = read(&mut self.stream).with_context(|| {
                    let heard: Vec<_> = self.texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
                    format!("{wanted} did not come, but {heard:?}")
                })?;
                self.take(&bytes)?;
            },
        }
    }

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let texts = &mut self.texts;
        self.frames.feed(bytes, |frame| {
            match frame {
                Frame::Text(text) => texts.push_back(text.to_vec()),
                Frame::Close => bail!("the server closed the connection"),
                Frame::Ping(_) | Frame::Pong => {}
            }
            Ok(())
        })
    }
}

fn read(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut buffer = [0; LONGEST_HEAD];
    let read = stream.read(&mut buffer).context("no word of the server")?;
    ensure!(read > 0, "the server closed the connection");
    Ok(buffer[..read].to_vec())
}
