//! What a connection costs that does nothing.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};

use super::meter::Meter;
use super::report::Report;
use super::{SMALL_PATH, Target, closed_loop, request};
use crate::process;

/// Opens the connections, each with one answer, lets them lie, and looks at the proxy's memory.
///
/// # Errors
///
/// If an answer is not the right one, or a connection is not kept.
pub(super) fn run(target: &Target, connections: usize, settle: Duration) -> anyhow::Result<Report> {
    let process = target.process.context("--process: whose memory?")?;
    let request = request::get(SMALL_PATH).into_bytes();
    // What a proxy makes once, it has made.
    let mut first = TcpStream::connect(target.addr).context("cannot connect")?;
    closed_loop::once(&mut first, &request)?;
    let before = process::memory(process, "VmRSS")?;
    let meter = Meter::start(Some(process))?;
    let mut kept = Vec::with_capacity(connections);
    for number in 0..connections {
        let open = || {
            let mut stream = TcpStream::connect(target.addr).context("cannot connect")?;
            stream.set_nodelay(true)?;
            closed_loop::once(&mut stream, &request)?;
            anyhow::Ok(stream)
        };
        kept.push(open().with_context(|| format!("connection {number}"))?);
    }
    rest(settle)?;
    let after = process::memory(process, "VmRSS")?;
    let mut report = meter.finish(u64::try_from(connections)?, 0)?;
    report.resident_kib = Some((before, after));
    for (number, stream) in kept.iter_mut().enumerate() {
        stream.set_nonblocking(true)?;
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => bail!("connection {number} was not kept"),
            Ok(_) => bail!("an answer that nobody asked for"),
        }
        stream.set_nonblocking(false)?;
        // What costs nothing must still be good for something.
        closed_loop::once(stream, &request).with_context(|| format!("connection {number}, again"))?;
    }
    Ok(report)
}

/// Waits for nothing.
fn rest(time: Duration) -> anyhow::Result<()> {
    let nothing = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
    let limit = EpollTimeout::try_from(time).context("too long a rest")?;
    nothing.wait(&mut [EpollEvent::empty()], limit).context("epoll")?;
    Ok(())
}
