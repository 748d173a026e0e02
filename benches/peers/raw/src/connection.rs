//! One connection with one channel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use url::Url;

use crate::wire::{self, Arguments, Incoming, Method};

/// A connection with channel 1 open.
pub struct Connection {
    socket: TcpStream,
    /// What was read; frames begin at `start`.
    read: Vec<u8>,
    start: usize,
    end: usize,
}

/// Enough for a thousand deliveries of one read.
const BUFFER: usize = 1 << 20;

/// A broker that is silent for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

impl Connection {
    pub fn open(url: &str) -> anyhow::Result<Self> {
        let url = Url::parse(url).context("the broker's URL")?;
        let host = url.host_str().context("a URL without a host")?;
        let socket = TcpStream::connect((host, url.port().unwrap_or(5672))).context("no broker")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self { socket, read: vec![0; BUFFER], start: 0, end: 0 };
        connection.send(b"AMQP\x00\x00\x09\x01")?;
        connection.expect((10, 10))?;
        let login = Arguments::default().long(&[]).short("PLAIN").long(b"\0guest\0guest").short("en_US");
        connection.method(0, (10, 11), &login)?;
        connection.expect((10, 30))?;
        // Frames of 128 KiB, and no heartbeats.
        connection.method(0, (10, 31), &Arguments::default().u16(2047).u32(131_072).u16(0))?;
        let vhost = match url.path().trim_start_matches('/') {
            "" | "%2f" | "%2F" => "/",
            name => name,
        };
        connection.method(0, (10, 40), &Arguments::default().short(vhost).short("").bytes(&[0]))?;
        connection.expect((10, 41))?;
        connection.method(1, (20, 10), &Arguments::default().short(""))?;
        connection.expect((20, 11))?;
        Ok(connection)
    }

    /// Turns confirms on.
    pub fn confirm(&mut self) -> anyhow::Result<()> {
        self.method(1, (85, 10), &Arguments::default().bytes(&[0]))?;
        self.expect((85, 11))
    }

    /// Takes from a queue.
    pub fn consume(&mut self, queue: &str, prefetch: u16) -> anyhow::Result<()> {
        self.method(1, (60, 10), &Arguments::default().u32(0).u16(prefetch).bytes(&[0]))?;
        self.expect((60, 11))?;
        let arguments = Arguments::default().u16(0).short(queue).short("raw").bytes(&[0]).long(&[]);
        self.method(1, (60, 20), &arguments)?;
        self.expect((60, 21))
    }

    pub fn delete(mut self, queue: &str) -> anyhow::Result<()> {
        self.method(1, (50, 40), &Arguments::default().u16(0).short(queue).bytes(&[0]))?;
        self.expect((50, 41))
    }

    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.socket.write_all(bytes).context("connection lost")
    }

    /// Shows each whole frame that is here, after one read if there is none.
    pub fn read(&mut self, mut see: impl FnMut(Incoming<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        if wire::first(&self.read[self.start..self.end])?.is_none() {
            self.fill()?;
        }
        while let Some((frame, length)) = wire::first(&self.read[self.start..self.end])? {
            unless_closed(&frame)?;
            see(frame)?;
            self.start += length;
        }
        Ok(())
    }

    /// Waits for one method, and leaves what comes after it.
    fn expect(&mut self, wanted: Method) -> anyhow::Result<()> {
        loop {
            let Some((frame, length)) = wire::first(&self.read[self.start..self.end])? else {
                self.fill()?;
                continue;
            };
            unless_closed(&frame)?;
            let found = matches!(frame, Incoming::Method(method, _) if method == wanted);
            self.start += length;
            if found {
                return Ok(());
            }
        }
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        if self.read.len() - self.end < BUFFER / 4 {
            self.read.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let count = self.socket.read(&mut self.read[self.end..]).context("no answer from the broker")?;
        ensure!(count > 0, "the broker has closed the connection");
        self.end += count;
        Ok(())
    }

    fn method(&mut self, channel: u16, method: Method, arguments: &Arguments) -> anyhow::Result<()> {
        let mut out = Vec::new();
        wire::method(&mut out, channel, method, arguments);
        self.send(&out)
    }
}

fn unless_closed(frame: &Incoming<'_>) -> anyhow::Result<()> {
    match frame {
        Incoming::Method(method @ ((10, 50) | (20, 40)), arguments) => {
            bail!("closed by the broker, {method:?}: {}", String::from_utf8_lossy(arguments))
        }
        _ => Ok(()),
    }
}
