//! Tower's own layers around a handler.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{Service, ServiceBuilder};
use tramline_event_hub::handler::{Action, BoxError, ErrorTable, Received};
use tramline_event_hub::{ConsumerConfig, Context, Event, Handler, Outcome};

use crate::consume::{House, both, n, soon, told, until};

both! {
    a_timeout_is_judged_by_the_table, a_limit_holds_back, a_shed_load_comes_again, a_buffer_buffers,
    nothing_is_called_before_it_is_ready,
}

/// A timeout layer's error is tried again by default, and is what the table says otherwise.
async fn a_timeout_is_judged_by_the_table(house: House) {
    house.declare(|queue| queue).await;
    let mut config = ConsumerConfig::default();
    config.retry.first_delay = Duration::from_millis(100);
    let (sender, mut seen) = mpsc::channel(10);
    let handler = move |event: Event, cx: Context| {
        let sender = sender.clone();
        async move {
            if cx.attempt == 1 {
                std::future::pending::<()>().await;
            }
            sender.send((n(&event), cx.attempt)).await
        }
    };
    let service = ServiceBuilder::new().timeout(Duration::from_millis(100)).service(handler.into_service());
    let again = house.run({
        let (service, config) = (service.clone(), config.clone());
        |hub, queue, stop| async move { hub.consume_service(&queue, config, service, told(stop)).await }
    });
    house.publish(0..1).await;
    assert_eq!(soon("the second try", seen.recv()).await, Some((0, 2)));
    again.stop().await.unwrap();

    config.errors = ErrorTable::new().on::<Elapsed>(Action::Reject);
    let never = house.run(|hub, queue, stop| async move {
        hub.consume_service(&queue, config, service, told(stop)).await
    });
    house.publish(1..2).await;
    until("a dead letter", || async { house.waiting("dlq").await == 1 }).await;
    never.stop().await.unwrap();
    assert!(seen.try_recv().is_err());
}

/// A concurrency limit below the consumer's own: the rest waits for its turn and has not failed.
async fn a_limit_holds_back(house: House) {
    house.declare(|queue| queue).await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let (sender, mut seen) = mpsc::channel(100);
    let handler = {
        let (running, most, gate) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&gate));
        move |cx: Context| {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            let (running, gate, sender) = (Arc::clone(&running), Arc::clone(&gate), sender.clone());
            async move {
                gate.acquire().await?.forget();
                running.fetch_sub(1, Ordering::SeqCst);
                sender.send(cx.attempt).await?;
                Ok::<_, BoxError>(())
            }
        }
    };
    let service = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(2)).service(handler.into_service());
    let work = house.run(|hub, queue, stop| async move {
        hub.consume_service(&queue, ConsumerConfig::default(), service, told(stop)).await
    });
    house.publish(0..30).await;
    until("two at once", || async { running.load(Ordering::SeqCst) == 2 }).await;
    gate.add_permits(28);
    for _ in 0..28 {
        assert_eq!(soon("a handled event", seen.recv()).await, Some(1));
    }
    until("the last two", || async { running.load(Ordering::SeqCst) == 2 }).await;
    gate.add_permits(2);
    for _ in 0..2 {
        assert_eq!(soon("a handled event", seen.recv()).await, Some(1));
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    work.stop().await.unwrap();
    until("an empty queue", || async { house.waiting("work").await == 0 }).await;
}

/// A service that sheds load: what it refuses comes again when the table says so, and none is lost.
async fn a_shed_load_comes_again(house: House) {
    house.declare(|queue| queue).await;
    let gate = Arc::new(Semaphore::new(0));
    let (sender, mut seen) = mpsc::channel(100);
    let handler = {
        let gate = Arc::clone(&gate);
        move |event: Event| {
            let (gate, sender) = (Arc::clone(&gate), sender.clone());
            async move {
                gate.acquire().await?.forget();
                sender.send(n(&event)).await?;
                Ok::<_, BoxError>(())
            }
        }
    };
    let service = ServiceBuilder::new().load_shed().concurrency_limit(1).service(handler.into_service());
    let mut config = ConsumerConfig::default();
    config.errors = ErrorTable::new().on::<Overloaded>(Action::RetryAfter(Duration::from_millis(100)));
    config.retry.max_attempts = 19;
    let work = house.run(|hub, queue, stop| async move {
        hub.consume_service(&queue, config, service, told(stop)).await
    });
    house.publish(0..5).await;
    gate.add_permits(5);
    let mut got = Vec::new();
    for _ in 0..5 {
        got.push(soon("a handled event", seen.recv()).await.unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3, 4]);
    work.stop().await.unwrap();
    assert_eq!(house.waiting("dlq").await, 0);
}

/// A buffer, whose clones share one worker.
async fn a_buffer_buffers(house: House) {
    house.declare(|queue| queue).await;
    let (sender, mut seen) = mpsc::channel(100);
    let handler = move |event: Event| {
        let sender = sender.clone();
        async move { sender.send(n(&event)).await }
    };
    let service = ServiceBuilder::new().buffer(4).service(handler.into_service());
    let work = house.run(|hub, queue, stop| async move {
        hub.consume_service(&queue, ConsumerConfig::default(), service, told(stop)).await
    });
    house.publish(0..50).await;
    let mut got = Vec::new();
    for _ in 0..50 {
        got.push(soon("a handled event", seen.recv()).await.unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (0..50).collect::<Vec<_>>());
    work.stop().await.unwrap();
}

/// Each clone is called once, after it was ready, and is not asked again and again until then. What waits at
/// the stop goes back as if it had never come.
async fn nothing_is_called_before_it_is_ready(house: House) {
    house.declare(|queue| queue).await;
    let door = Arc::new(Door::default());
    let config = ConsumerConfig::default();
    let concurrency = config.concurrency;
    let service = Doored { door: Arc::clone(&door), ready: false };
    let work = house.run(|hub, queue, stop| async move {
        hub.consume_service(&queue, config, service, told(stop)).await
    });
    house.publish(0..20).await;
    let at_the_door = || async { door.waiting.lock().unwrap().len() == concurrency };
    until("a full house", at_the_door).await;
    assert_eq!(door.asked.load(Ordering::SeqCst), concurrency, "asked once each");
    assert_eq!(door.called.load(Ordering::SeqCst), 0);
    work.stop().await.unwrap();
    assert_eq!(door.called.load(Ordering::SeqCst), 0);
    until("all back", || async { house.waiting("work").await == 20 }).await;

    let asked = door.asked.load(Ordering::SeqCst);
    let service = Doored { door: Arc::clone(&door), ready: false };
    let work = house.run(|hub, queue, stop| async move {
        hub.consume_service(&queue, ConsumerConfig::default(), service, told(stop)).await
    });
    until("a full house", || async { door.asked.load(Ordering::SeqCst) == asked + concurrency }).await;
    door.open();
    until("all called", || async { door.called.load(Ordering::SeqCst) == 20 }).await;
    work.stop().await.unwrap();
    assert_eq!(house.waiting("work").await, 0);
}

#[derive(Default)]
struct Door {
    open: std::sync::atomic::AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    asked: AtomicUsize,
    called: AtomicUsize,
}

/// Not ready before its door is open, and out of order when called without being ready.
struct Doored {
    door: Arc<Door>,
    ready: bool,
}

impl Door {
    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        for waker in self.waiting.lock().unwrap().drain(..) {
            waker.wake();
        }
    }
}

impl Clone for Doored {
    fn clone(&self) -> Self {
        Self { door: Arc::clone(&self.door), ready: false }
    }
}

impl Service<Received> for Doored {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Ready<Result<Outcome, BoxError>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        self.door.asked.fetch_add(1, Ordering::SeqCst);
        let mut waiting = self.door.waiting.lock().unwrap();
        if self.door.open.load(Ordering::SeqCst) {
            self.ready = true;
            return Poll::Ready(Ok(()));
        }
        waiting.push(cx.waker().clone());
        Poll::Pending
    }

    fn call(&mut self, _: Received) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        self.door.called.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Outcome::Ack))
    }
}
