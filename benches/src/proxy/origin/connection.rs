//! One connection of the origin.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, bail, ensure};

use crate::proxy::{SMALL, SMALL_PATH};

/// One connection: it reads a request, answers it, and so on.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The beginning of a request that did not come at once.
    begun: Vec<u8>,
    /// An upload: how much is still to come, and how much it is.
    upload: Option<(u64, u64)>,
    /// What is still to be sent.
    out: Vec<u8>,
    /// How much of a download is still to be made.
    download: u64,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wants {
    Read,
    Write,
}

/// What was asked for.
struct Request<'a> {
    path: &'a str,
    length: u64,
    head: &'a str,
}

/// Longer than any head that a proxy makes of the load program's.
const LONGEST_HEAD: usize = 16 * 1024;

// === impl Connection ===

impl Connection {
    pub(super) fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, begun: Vec::new(), upload: None, out: Vec::new(), download: 0 })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn wants(&self) -> Wants {
        if self.out.is_empty() && self.download == 0 { Wants::Read } else { Wants::Write }
    }

    /// Reads or writes once, as it wants.
    ///
    /// # Errors
    ///
    /// If it is at its end.
    pub(super) fn go_on(&mut self, buffer: &mut [u8]) -> anyhow::Result<()> {
        match self.wants() {
            Wants::Read => {
                let read = match self.stream.read(buffer) {
                    Ok(0) => bail!("closed"),
                    Ok(read) => read,
                    Err(error) if is_for_later(&error) => return Ok(()),
                    Err(error) => return Err(error.into()),
                };
                self.take(&buffer[..read])?;
                // The answer mostly fits, and then nobody has to wait for it.
                if self.wants() == Wants::Write { self.send(buffer) } else { Ok(()) }
            }
            Wants::Write => self.send(buffer),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.upload.is_some() {
            return self.sink(bytes.len() as u64);
        }
        // Mostly a request comes at once, and is not copied.
        if self.begun.is_empty() {
            return self.request(bytes);
        }
        let mut begun = std::mem::take(&mut self.begun);
        begun.extend_from_slice(bytes);
        self.request(&begun)
    }

    fn request(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(bytes.len() < LONGEST_HEAD, "a head that does not end");
            self.begun = bytes.to_vec();
            return Ok(());
        };
        let (head, rest) = bytes.split_at(end + 4);
        let request = Request::parse(head)?;
        if request.path == "/up" {
            self.upload = Some((request.length, request.length));
            return self.sink(rest.len() as u64);
        }
        ensure!(rest.is_empty() && request.length == 0, "a body that nobody wants");
        match request.path {
            SMALL_PATH => self.answer(&[b's'; SMALL]),
            "/echo" => self.answer(request.head.as_bytes()),
            path => {
                let bytes = path.strip_prefix("/down/").context("no such path")?.parse()?;
                self.head(bytes);
                self.download = bytes;
            }
        }
        Ok(())
    }

    fn sink(&mut self, arrived: u64) -> anyhow::Result<()> {
        let Some((left, all)) = &mut self.upload else { return Ok(()) };
        *left = left.checked_sub(arrived).context("more than was announced")?;
        if *left == 0 {
            let told = all.to_string();
            self.upload = None;
            self.answer(told.as_bytes());
        }
        Ok(())
    }

    fn answer(&mut self, body: &[u8]) {
        self.head(body.len() as u64);
        self.out.extend_from_slice(body);
    }

    fn head(&mut self, length: u64) {
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: application/json\r\n\
             Cache-Control: no-store\r\nContent-Length: {length}\r\n\r\n"
        );
        self.out.extend_from_slice(head.as_bytes());
    }

    /// Sends what there is, and makes more of a download, until the other side has enough.
    fn send(&mut self, buffer: &[u8]) -> anyhow::Result<()> {
        while self.wants() == Wants::Write {
            // What the buffer holds does not matter, but it is not copied.
            let made = usize::try_from(self.download).map_or(buffer.len(), |left| left.min(buffer.len()));
            let piece = if self.out.is_empty() { &buffer[..made] } else { &self.out[..] };
            let sent = match self.stream.write(piece) {
                Ok(sent) => sent,
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if self.out.is_empty() {
                self.download -= sent as u64;
            } else {
                self.out.drain(..sent);
            }
        }
        Ok(())
    }
}

// === impl Request ===

impl<'a> Request<'a> {
    fn parse(head: &'a [u8]) -> anyhow::Result<Self> {
        let head = std::str::from_utf8(head)?;
        let mut lines = head.split("\r\n");
        let path = lines.next().and_then(|line| line.split(' ').nth(1)).context("no request line")?;
        let mut length = 0;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("the load program announces its lengths");
            }
        }
        Ok(Self { path, length, head })
    }
}

fn is_for_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
