//! What no line, no span and no error says: logs outlive what they tell of, and others read them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use devkit::Fault;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tramline_cache::{Cache, CacheConfig, Clock, Error, Loaded, RedisConfig, Store, StoreConfig, Tag};

use crate::redis::named;
use crate::support::{policy, until_async};
use crate::{running, until};

/// All that is said of spans and lines, of any level.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Said(String);

type Texts = Cache<String, String>;

// === impl Everything ===

impl Everything {
    /// On this thread, beside one that hears nothing: else another thread's first word decides for all.
    fn listen(&self) -> (Dispatch, DefaultGuard) {
        let beside = Dispatch::new(tracing_subscriber::registry());
        (beside, tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone())))
    }

    fn push(&self, name: &str, record: impl FnOnce(&mut Said)) {
        let mut said = Said(name.to_owned());
        record(&mut said);
        self.0.lock().unwrap().push(said.0);
    }
}

impl<S: Subscriber> Layer<S> for Everything {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.push(attributes.metadata().name(), |said| attributes.record(said));
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.push("", |said| values.record(said));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.push(event.metadata().level().as_str(), |said| event.record(said));
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

fn key(n: u64) -> String {
    format!("hunter2 {n}")
}

fn cache<V>(store: &Store, name: &str) -> Cache<String, V>
where
    V: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let mut config = CacheConfig::new(name);
    config.policy = policy(Duration::from_secs(60));
    config.policy.stale_for = Some(Duration::from_secs(600));
    (config.max_value, config.max_weight) = (1_000, 10_000);
    store.cache(config).unwrap()
}

async fn load(texts: &Texts, key: &str) -> Result<Arc<String>, Error> {
    texts.get_or_load(&key.to_owned(), || async { Ok::<_, fmt::Error>("hunter2".to_owned()) }).await
}

/// Each way in which a question, a load or an ending may go, with Redis, without it, and where that has something else.
#[tokio::test]
async fn no_line_says_a_key_a_value_or_a_tag() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, url) = Fault::in_front_of(url).await.unwrap();
    let everything = Everything::default();
    let _listening = everything.listen();
    let (redis, clock) = (named(RedisConfig::new(url)), Clock::manual());
    let store = || {
        let mut config = StoreConfig::default();
        config.clock = clock.clone();
        Store::redis(redis.clone(), config).unwrap()
    };
    let (a, b) = (store(), store());
    let (run, _run) = (running(&a), running(&b));
    until(|| a.stats().attached && b.stats().attached).await;
    let (texts, numbers): (Texts, Cache<String, u64>) = (cache(&a, "texts"), cache(&b, "texts"));
    let mut errors = Vec::new();

    for n in 0..3 {
        load(&texts, &key(n)).await.unwrap();
    }
    let many = |keys: Vec<String>| async move {
        Ok::<_, fmt::Error>(
            keys.into_iter().map(|key| (key, "hunter2".to_owned())).collect::<HashMap<_, _>>(),
        )
    };
    texts.get_many_or_load(&[key(2), key(3)], many).await.unwrap();
    // Of another type there.
    assert_eq!(numbers.get(&key(0)).await, None);
    numbers.get_or_load(&key(0), || async { Ok::<_, fmt::Error>(1) }).await.unwrap();
    // Too large, with too many tags, and of a load that fails or panics where there is something old, and where not.
    texts.set(&key(4), "hunter2".repeat(200)).await;
    let tags = || (0..17).map(|n| Tag::new("user", &key(n)));
    texts.set(&key(5), Loaded::new("hunter2".to_owned()).with_tags(tags())).await;
    clock.advance(Duration::from_secs(61));
    for n in [1, 6] {
        let failed = texts.get_or_load(&key(n), || async { Err::<String, _>(fmt::Error) }).await;
        assert_eq!(failed.is_err(), n == 6);
        errors.extend(failed.err());
    }
    let panics = async || -> Result<String, fmt::Error> { panic!("on purpose") };
    errors.push(texts.get_or_load(&key(7), panics).await.unwrap_err());

    texts.invalidate(&key(0)).await;
    texts.invalidate_many(&[key(1), key(2)]).await;
    a.invalidate_tags(&tags().collect::<Vec<_>>()).await;
    fault.cut();
    texts.invalidate(&key(3)).await;
    a.invalidate_tag(&Tag::new("user", &key(1))).await;
    texts.set(&key(8), "hunter2".to_owned()).await;
    load(&texts, &key(9)).await.unwrap();
    drop(run);
    a.run(std::future::ready(())).await;
    texts.invalidate(&key(9)).await;
    fault.heal();
    until_async(async || numbers.get(&key(0)).await.is_some() || b.stats().attached).await;

    let said = everything.0.lock().unwrap().clone();
    for word in ["cache.load", "WARN", "DEBUG", "reason", "endings"] {
        assert!(said.iter().any(|line| line.contains(word)), "{word} is not heard: {said:#?}");
    }
    let described = format!("{errors:?} {a:?} {texts:?}");
    let causes = errors.iter().map(ToString::to_string);
    for line in said.into_iter().chain([described]).chain(causes) {
        assert!(!line.contains("hunter"), "{line}");
    }
}
