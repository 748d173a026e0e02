//! Log lines to a reader that may be slow: a thread writes, a bounded queue waits, the rest is dropped and
//! counted. A pipe that nobody reads stops the thread, never a request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

/// Lines that may wait; the bytes have their own bound. A line is rarely shorter than 250 bytes.
const MAX_LINES: usize = 16_384;

/// Half of a queue whose other half is the thread's.
#[derive(Clone, Debug)]
pub(super) struct LineWriter {
    shared: Arc<Shared>,
    queue: SyncSender<Command>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes in the queue: added here, taken off by the thread.
    waiting: AtomicUsize,
    limit: usize,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Command {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

// === impl LineWriter ===

impl LineWriter {
    pub(super) fn start(output: Box<dyn Write + Send>, limit: usize) -> io::Result<(Self, Self)> {
        let (queue, commands) = mpsc::sync_channel(MAX_LINES);
        let shared = Arc::new(Shared { waiting: AtomicUsize::new(0), limit, dropped: AtomicU64::new(0) });
        thread::Builder::new().name("log-writer".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&commands, &shared, output)
        })?;
        let writer = Self { shared, queue };
        Ok((writer.clone(), writer))
    }

    /// Queues a line, or drops it when the queue is full.
    pub(super) fn write(&self, line: Vec<u8>) {
        let bytes = line.len();
        let before = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        let full = before.saturating_add(bytes) > self.shared.limit;
        if full || self.queue.try_send(Command::Line(line)).is_err() {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("log.lines.dropped").increment(1);
        }
    }

    /// Lines dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what is queued is written; blocks for at most `limit`. Returns whether it was.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let (done, written) = mpsc::sync_channel(1);
        match self.queue.try_send(Command::Flush(done)) {
            Ok(()) => written.recv_timeout(limit).is_ok(),
            Err(TrySendError::Disconnected(_) | TrySendError::Full(_)) => false,
        }
    }
}

fn run(commands: &Receiver<Command>, shared: &Shared, mut output: Box<dyn Write + Send>) {
    // Ends when the last writer is gone. An output that fails is written to again with the next line: there is
    // nobody to tell, and it may come back.
    while let Ok(first) = commands.recv() {
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Line(line) => {
                    let _ = output.write_all(&line);
                    shared.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                }
                Command::Flush(done) => {
                    let _ = output.flush();
                    let _ = done.send(());
                }
            }
            next = commands.try_recv().ok();
        }
        let _ = output.flush();
    }
}
