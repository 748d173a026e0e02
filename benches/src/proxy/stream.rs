//! One big body, up or down.

use std::io::Write as _;
use std::net::TcpStream;

use anyhow::{Context, ensure};

use super::answer::{self, Head};
use super::meter::Meter;
use super::report::Report;
use super::{PIECE, SMALL_PATH, Target, closed_loop, request};

/// Sends a body and reads how much of it arrived.
///
/// # Errors
///
/// If not all of it arrived.
pub(super) fn up(target: &Target, bytes: u64) -> anyhow::Result<Report> {
    let mut stream = open(target)?;
    let head = request::post("/up", bytes);
    let piece = vec![b'u'; PIECE];
    let meter = Meter::start(target.process)?;
    stream.write_all(head.as_bytes()).context("cannot send")?;
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        stream.write_all(&piece[..part]).context("cannot send")?;
        left -= part as u64;
    }
    let told = String::from_utf8(answer::whole(&mut stream)?).context("the origin's answer")?;
    let report = meter.finish(1, bytes)?;
    ensure!(told == bytes.to_string(), "{told} of {bytes} bytes arrived");
    Ok(report)
}

/// Reads a body.
///
/// # Errors
///
/// If it is not as long as it has to be.
pub(super) fn down(target: &Target, bytes: u64) -> anyhow::Result<Report> {
    let mut stream = open(target)?;
    let mut piece = vec![0; PIECE];
    let meter = Meter::start(target.process)?;
    stream.write_all(request::get(&format!("/down/{bytes}")).as_bytes()).context("cannot send")?;
    let (head, begun) = Head::read(&mut stream)?;
    ensure!(head.length == bytes, "an answer of {} bytes", head.length);
    let mut arrived = begun.len() as u64;
    while arrived < bytes {
        arrived += answer::read(&mut stream, &mut piece)? as u64;
    }
    ensure!(arrived == bytes, "{arrived} of {bytes} bytes arrived");
    meter.finish(1, bytes)
}

/// A connection that had an answer: what a proxy does once is done.
fn open(target: &Target) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(target.addr).context("cannot connect")?;
    stream.set_nodelay(true)?;
    closed_loop::once(&mut stream, request::get(SMALL_PATH).as_bytes())?;
    Ok(stream)
}
