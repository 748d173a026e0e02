//! The same on a real Redis, in real time and on several threads.
//!
//! Each node is behind a proxy of its own, which breaks its connections in many ways; Redis hangs, and loses those who
//! listen. Values live for minutes: at the end, when all is well again, whoever missed an ending would say so. But a node that
//! was cut off tells again what it told of late, all of the cache perhaps, and with that ends what it missed itself, and
//! others did. So there is one more, which only asks, and has nothing to tell; and at the end each way of ending has its turn
//! once more, by itself.

use std::convert::Infallible;

use devkit::{Fault, Redis};
use rand::rngs::StdRng;
use tramline_cache::RedisConfig;

use super::*;
use crate::linear::way::Way;
use crate::redis::{named, raw};
use crate::{running, until};

/// What others ended counts so much later on a busy machine, with the time to connect anew.
const BUSY: Duration = Duration::from_secs(4);

/// The node that ends nothing.
const READER: usize = NODES;

/// What the nodes stand on.
struct System {
    server: Redis,
    faults: Vec<Fault>,
    stores: Vec<Store>,
    source: Arc<Source>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_older_than_it_may_be_on_redis() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let seed = number("TRAMLINE_CACHE_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    println!("TRAMLINE_CACHE_SEED={seed}");
    let mut chance = random(seed, 0);
    let mut up_to = |most: u64| Duration::from_millis(chance.random_range(0..=most));
    let server = Redis::start().await.unwrap();
    let names = named(RedisConfig::new(server.url()));
    let (mut faults, mut stores, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=READER {
        let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
        let mut redis = RedisConfig::new(url);
        redis.prefix.clone_from(&names.prefix);
        redis.max_backoff = names.max_backoff;
        redis.response_timeout = Duration::from_millis(500);
        let mut config = StoreConfig::default();
        settings(&mut config);
        config.max_ttl = LONG;
        let store = Store::redis(redis, config).unwrap();
        runs.push(running(&store));
        until(|| store.stats().attached).await;
        stores.push(store);
        faults.push(fault);
    }
    let source = Arc::new(Source::new(ROWS, Weather::new(vec![BUSY; NODES + 1], DETACHED_AGE)));
    let system = System { server, faults, stores, source };
    let policies = [long(policy(&mut up_to)), long(policy(&mut up_to))];
    let working = work(&system.stores, &system.source, &policies, &mut up_to, seed, TURNS / 6, BUSY);
    let breaking = join_all((0..=READER).map(|node| system.storm(node, seed)));
    let done = match select(Box::pin(working), Box::pin(breaking)).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => unreachable!("{never:?}"),
    };
    let settled = async {
        let workers = done?;
        system.calm();
        system.settled(&workers).await?;
        system.each_way(&workers, &mut chance).await
    };
    if let Err(wrong) = settled.await {
        panic!("TRAMLINE_CACHE_SEED={seed}: {wrong}");
    }
}

const LONG: Duration = Duration::from_secs(600);

/// Nothing goes by its age.
fn long(mut policy: Policy) -> Policy {
    policy.ttl = LONG;
    policy.negative_ttl = policy.negative_ttl.map(|_| LONG);
    policy.jitter = 0.0;
    policy
}

// === impl System ===

impl System {
    /// Breaks what connects one node, again and again; the first one's storm hits Redis itself as well.
    async fn storm(&self, node: usize, seed: u64) -> Infallible {
        let mut random = random(seed, node + 100);
        let (fault, weather) = (&self.faults[node], &self.source.weather);
        loop {
            sleep(Duration::from_millis(random.random_range(100..1_500))).await;
            let calm = Duration::from_millis(random.random_range(1..2_000));
            match random.random_range(0..8) {
                0 | 1 if node == 0 => {
                    self.all(|node| weather.begin(node, Kind::Cut));
                    self.server.pause();
                    sleep(calm).await;
                    self.server.resume();
                    self.all(|node| weather.heal(node));
                }
                2 if node == 0 => {
                    self.all(|node| weather.begin(node, Kind::Deaf));
                    self.deafen().await;
                    self.all(|node| weather.heal(node));
                }
                kind => {
                    weather.begin(node, Kind::Cut);
                    match kind % 4 {
                        0 => fault.cut_once(),
                        1 => fault.half_open(),
                        2 => fault.hold_answers(),
                        _ => fault.delay(Duration::from_millis(20)),
                    }
                    sleep(calm).await;
                    fault.heal();
                    weather.heal(node);
                }
            }
        }
    }

    /// All is well, and everybody says so.
    async fn settled(&self, workers: &[Worker]) -> Result<(), String> {
        for store in &self.stores {
            until(|| store.stats().attached).await;
        }
        // All workers of a node share its memory.
        try_join_all(workers.iter().step_by(WORKERS).map(Worker::settled)).await.map(drop)
    }

    /// Each way to end what is kept: when all hear it, when who ends it is cut off, and when the one that asks is.
    async fn each_way(&self, workers: &[Worker], random: &mut StdRng) -> Result<(), String> {
        let worker = |node: usize| &workers[node * WORKERS];
        for ways in Way::each() {
            let teller = random.random_range(0..NODES);
            for cut in [None, Some(teller), Some(READER)] {
                if let Some(node) = cut {
                    self.faults[node].cut();
                    until(|| !self.stores[node].stats().attached).await;
                }
                worker(teller).end_each(&ways).await;
                self.calm();
                let settled = self.settled(workers).await;
                settled.map_err(|wrong| format!("{ways:?} by {teller}, without {cut:?}: {wrong}"))?;
            }
        }
        let [keys, writes, ..] = Way::each();
        for ways in [keys.clone(), writes] {
            let teller = random.random_range(0..NODES);
            let slow = worker((teller + 1) % NODES);
            slow.end_each(&keys).await;
            let late = slow.load_late().await;
            worker(teller).end_each(&ways).await;
            late.end().await;
            let settled = self.settled(workers).await;
            settled.map_err(|wrong| format!("{ways:?} by {teller}, while others load: {wrong}"))?;
        }
        Ok(())
    }

    /// All who listen are thrown out.
    async fn deafen(&self) {
        let mut raw = raw(&self.server.url()).await;
        let mut kill = ::redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("pubsub");
        kill.query_async::<i64>(&mut raw).await.unwrap();
    }

    fn calm(&self) {
        self.server.resume();
        self.faults.iter().for_each(Fault::heal);
        self.all(|node| self.source.weather.heal(node));
    }

    fn all(&self, what: impl Fn(usize)) {
        (0..=READER).for_each(what);
    }
}
