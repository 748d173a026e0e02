//! Tests of the task's turn, polled by hand: as a runtime does, only when it was woken.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::ReadBuf;

use super::*;
use crate::auth::{Authority, Credential, Identity, PeerInfo};
use crate::backplane::Backplane;
use crate::config::RoomsConfig;
use crate::protocol::RoomId;
use crate::protocol::codec::Text;
use crate::refusal::Refusal;
use crate::rooms::Rooms;
use crate::session::heartbeat;
use crate::{Access, Target};

struct Anybody;

impl Authority for Anybody {
    async fn authenticate(&self, _: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        Ok(Identity::new("ada", "s1", Timestamp::now() + Duration::from_secs(900)))
    }

    async fn may_join(&self, _: &Identity, _: &RoomId) -> Access {
        Access::Allowed
    }
}

/// A socket of a peer that says nothing, and the other end of it.
#[derive(Clone)]
struct Socket(Arc<Mutex<Pipe>>);

struct Pipe {
    /// What it has taken, and how much of that has been flushed.
    took: Vec<u8>,
    flushed: usize,
    /// Bytes that it still takes.
    room: usize,
    flushes: bool,
    writer: Option<Waker>,
    /// Done in the midst of the next write.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// === impl Socket ===

impl Socket {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Pipe {
            took: Vec::new(),
            flushed: 0,
            room: usize::MAX,
            flushes: true,
            writer: None,
            meanwhile: None,
        })))
    }

    /// Changes what it takes, and wakes who waits for that.
    fn set(&self, change: impl FnOnce(&mut Pipe)) {
        let mut pipe = self.0.lock().unwrap();
        change(&mut pipe);
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
    }

    /// What has been flushed since the last time.
    fn flushed(&self) -> Vec<u8> {
        let mut pipe = self.0.lock().unwrap();
        let flushed = std::mem::take(&mut pipe.flushed);
        pipe.took.drain(..flushed).collect()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let meanwhile = self.0.lock().unwrap().meanwhile.take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let mut pipe = self.0.lock().unwrap();
        if pipe.room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(pipe.room);
        pipe.room -= taken;
        pipe.took.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock().unwrap();
        if !pipe.flushes {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.flushed = pipe.took.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Stage {
    rooms: Rooms,
    conn: Arc<Conn>,
    socket: Socket,
    task: Work<u16>,
    woken: Arc<Woken>,
    /// The close code, once it is over.
    over: Option<u16>,
}

impl Stage {
    /// A connection that has been welcomed.
    async fn new() -> Self {
        let rooms = Rooms::new(RoomsConfig::default(), Anybody, Backplane::memory());
        let peer = PeerInfo::new([192, 0, 2, 1].into());
        let admission = rooms.admit(Credential::Bearer(String::new()), peer).await.unwrap();
        let (conn, socket) = (Arc::clone(&admission.conn), Socket::new());
        let task = Box::pin(admission.serve(socket.clone()));
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let mut stage = Self { rooms, conn, socket, task, woken, over: None };
        stage.settle().await;
        assert!(!stage.socket.flushed().is_empty(), "a welcome");
        stage
    }

    /// Lets everything happen for which somebody was woken.
    async fn settle(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        // What it waits for may be on other tasks.
        for _ in 0..8 {
            while self.over.is_none() && self.woken.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(code) = self.task.as_mut().poll(&mut Context::from_waker(&waker)) {
                    self.over = Some(code);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Queues a frame of some `bytes`; says how it goes on the wire.
    fn push(&self, bytes: usize) -> Vec<u8> {
        let text = Text::from("x".repeat(bytes));
        self.conn.push(text.clone());
        text.into_bytes().to_vec()
    }
}

/// Who pushes rings once, when the queue was empty, however many turns it takes.
#[tokio::test(start_paused = true)]
async fn more_than_a_turn_takes_leaves_all_the_same() {
    let mut stage = Stage::new().await;
    let frames: Vec<_> = (0..5).flat_map(|number| stage.push(BATCH + number)).collect();
    stage.settle().await;
    assert!(stage.socket.flushed() == frames);
}

/// The peer reads nothing and frames wait, so nothing but the close itself wakes the task.
#[tokio::test(start_paused = true)]
async fn a_close_is_heard_over_a_full_socket() {
    let mut stage = Stage::new().await;
    stage.socket.set(|pipe| pipe.room = 0);
    for _ in 0..3 {
        stage.push(100);
        stage.settle().await;
    }
    stage.conn.close(Close::DRAIN);
    stage.settle().await;
    tokio::time::advance(RoomsConfig::default().close_timeout).await;
    stage.settle().await;
    assert_eq!(stage.over, Some(Close::DRAIN.code));
}

/// At rest, and in the midst of a turn that has looked already.
#[tokio::test(start_paused = true)]
async fn who_rings_is_heard() {
    let mut stage = Stage::new().await;
    let target = Target::Connection(stage.conn.name.clone());
    for (number, writes) in [false, true].into_iter().enumerate() {
        let room = RoomId::parse(&format!("r:{number}")).unwrap();
        for gives in [true, false] {
            let (rooms, target, named) = (stage.rooms.clone(), target.clone(), room.clone());
            let ring = move || {
                _ = if gives { rooms.join(&target, &named) } else { rooms.leave(&target, &named) };
            };
            if writes {
                stage.socket.set(|pipe| pipe.meanwhile = Some(Box::new(ring)));
                stage.push(1);
            } else {
                ring();
            }
            stage.settle().await;
            assert_eq!(stage.conn.membership(&room).is_some(), gives, "in the midst of a write: {writes}");
        }
    }
}

/// A socket that takes a little at a time, and holds what it took for a while: what came behind leaves, too.
#[tokio::test(start_paused = true)]
async fn a_write_in_parts_is_flushed_and_followed() {
    let mut stage = Stage::new().await;
    stage.socket.set(|pipe| (pipe.room, pipe.flushes) = (0, false));
    let mut frames = stage.push(100);
    stage.settle().await;
    for _ in 0..frames.len() / 7 {
        stage.socket.set(|pipe| pipe.room = 7);
        stage.settle().await;
    }
    frames.extend(stage.push(10));
    stage.socket.set(|pipe| pipe.room = usize::MAX);
    stage.settle().await;
    assert!(stage.socket.flushed().is_empty());
    stage.socket.set(|pipe| pipe.flushes = true);
    stage.settle().await;
    frames.extend(stage.push(10));
    stage.settle().await;
    assert!(stage.socket.flushed() == frames);
}

/// Whoever serves it may poll it from another task later on.
#[tokio::test(start_paused = true)]
async fn the_last_to_poll_is_woken() {
    let mut stage = Stage::new().await;
    stage.woken = Arc::new(Woken(AtomicBool::new(true)));
    stage.settle().await;
    let frame = stage.push(10);
    stage.settle().await;
    assert!(stage.socket.flushed() == frame);
}

/// A socket that was full and has taken everything since is not stuck, however long nothing is said.
#[tokio::test(start_paused = true)]
async fn who_has_taken_all_is_not_stuck() {
    let mut stage = Stage::new().await;
    let config = RoomsConfig::default().heartbeat;
    for stuck in [false, true] {
        stage.socket.set(|pipe| pipe.room = 0);
        stage.push(100);
        stage.settle().await;
        stage.socket.set(|pipe| pipe.room = if stuck { 0 } else { usize::MAX });
        stage.settle().await;
        tokio::time::advance(config.write_within).await;
        heartbeat::check(&stage.conn, &config);
        assert_eq!(stage.conn.heart.is_dead(), stuck);
    }
}
