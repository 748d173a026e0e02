//! What other processes end.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::PubSubSink;
use ::redis::{ErrorKind, Msg, RedisError, RedisResult};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::mark::Mark;
use crate::tier::numbers::{Look, Numbers, Verdict};
use crate::tier::redis::Redis;
use crate::tier::redis::connection::silent;
use crate::tier::redis::link::Newest;
use crate::tier::redis::names::Message;
use crate::tier::{Heard, PING, PONG};

/// The bound of the first pause between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Tells, and knows whether the last word was that the feed is heard.
struct Teller<H, N> {
    hear: H,
    now: N,
    attached: AtomicBool,
}

/// One look after the feed: it lives.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When it was looked after.
    asked: u64,
    /// What the count is at; none when the commands are not answered.
    newest: Option<Newest>,
}

impl Redis {
    /// Hears the feed until `shutdown`.
    pub(crate) async fn listen(
        &self,
        hear: impl Fn(Heard) + Send + Sync,
        now: impl Fn() -> u64 + Send + Sync,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let teller = Teller { hear, now, attached: AtomicBool::new(false) };
        self.link.begin();
        let listening = async {
            let mut failures = 0_u32;
            loop {
                let error = match self.listen_once(&teller).await {
                    Ok(()) => silent(),
                    Err(error) => error,
                };
                if teller.detach() {
                    failures = 0;
                }
                // Once for each time that it is lost, and when it was never heard: it may be the rights that are missing.
                if failures == 0 {
                    let prefix = self.link.calls().names.prefix();
                    tracing::warn!(prefix, %error, "invalidations are not heard for now");
                }
                failures = failures.saturating_add(1);
                let bound = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(self.link.max_backoff());
                // Someone has to look after Redis when nobody asks it: there may be something to tell.
                self.link.usable();
                sleep(bound.mul_f64(rand::random_range(0.5..=1.0))).await;
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = listening => {}
        }
        teller.detach();
    }

    async fn listen_once<H, N>(&self, teller: &Teller<H, N>) -> RedisResult<()>
    where
        H: Fn(Heard) + Sync,
        N: Fn() -> u64 + Sync,
    {
        let names = &self.link.calls().names;
        let (sink, mut messages) = self.link.server.subscribe(&names.feed).await?.split();
        // ORDER: subscribed before, then the newest is read, then told: nothing can fall in between.
        let asked = (teller.now)();
        let begin = self.link.newest().await.ok_or_else(silent)?;
        teller.attach(begin.mark);
        (teller.hear)(Heard::Whole(asked));
        let mut numbers = Numbers::new(begin.mark);
        let (seen, mut looks) = mpsc::channel(1);
        let mut watching = pin!(self.watch(sink, seen, &teller.now));
        loop {
            let whole = tokio::select! {
                // ORDER: what has arrived is heard before the numbers are compared.
                biased;
                message = messages.next() => match message {
                    Some(message) => self.heard(&message, &mut numbers, teller),
                    None => return Ok(()),
                },
                Some(seen) = looks.recv() => self.looked(seen, begin.era, &mut numbers, teller),
                error = &mut watching => return Err(error),
            };
            if !whole {
                // By another connection: this one may come from a Redis that the others have left.
                return Err(missed());
            }
        }
    }

    /// False when something was missed before it.
    fn heard<H: Fn(Heard), N>(&self, message: &Msg, numbers: &mut Numbers, teller: &Teller<H, N>) -> bool {
        let text = String::from_utf8_lossy(message.get_payload_bytes());
        match self.link.calls().names.message(&text) {
            Some(Message::Filled(slot)) => (teller.hear)(Heard::Filled(slot)),
            Some(Message::Ended { ending, mark, own }) => match numbers.hear(&ending, mark) {
                Verdict::Old => {}
                Verdict::Next => (teller.hear)(Heard::Ended { ending, mark, own }),
                Verdict::Hole => return false,
            },
            // Whatever it is, it is over when everything is forgotten.
            Some(Message::Unknown) => return false,
            None => tracing::debug!("a message on the feed that says nothing known"),
        }
        true
    }

    /// False when something was missed. All that arrived before the answers has been heard by now.
    fn looked<H: Fn(Heard), N>(
        &self,
        seen: Seen,
        era: Option<u64>,
        numbers: &mut Numbers,
        teller: &Teller<H, N>,
    ) -> bool {
        let whole = match seen.newest {
            Some(newest) if newest.era != era => return false,
            Some(newest) => match numbers.look(newest.mark, seen.asked) {
                Look::Behind => return false,
                Look::Unsure => None,
                Look::Whole(moment) => Some(moment),
            },
            // What was said before the answer came before it, on one connection. In a cluster it may come from elsewhere; and
            // a master that its sentinels have given up goes on answering who reaches it.
            None => Some(seen.asked).filter(|_| self.link.server.is_one()),
        };
        whole.into_iter().for_each(|moment| (teller.hear)(Heard::Whole(moment)));
        true
    }

    /// Looks whether the feed lives and what the count is at, until it does not.
    async fn watch(
        &self,
        mut sink: PubSubSink,
        seen: mpsc::Sender<Seen>,
        now: &(impl Fn() -> u64 + Sync),
    ) -> RedisError {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pings.tick().await;
            // ORDER: before the questions.
            let asked = now();
            match timeout(PONG, sink.ping::<::redis::Value>()).await {
                // Any answer is a sign of life: a refusal, too.
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error,
                Err(_) => return silent(),
            }
            // A Redis that does not answer the commands is the gate's business, as long as the feed lives.
            let newest = self.link.look().await;
            if seen.send(Seen { asked, newest }).await.is_err() {
                return silent();
            }
        }
    }
}

fn missed() -> RedisError {
    RedisError::from((ErrorKind::Io, "something was missed"))
}

// === impl Teller ===

impl<H: Fn(Heard), N> Teller<H, N> {
    fn attach(&self, newest: Mark) {
        self.attached.store(true, Ordering::Relaxed);
        (self.hear)(Heard::Attached(newest));
    }

    /// True when it was attached.
    fn detach(&self) -> bool {
        let was = self.attached.swap(false, Ordering::Relaxed);
        if was {
            (self.hear)(Heard::Detached);
        }
        was
    }
}
