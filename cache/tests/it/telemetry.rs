//! Spans, as an application's subscriber sees them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Instrument, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tramline_cache::{Refresh, Store};

use crate::support::{Nodes, Texts, in_tokio_time, key, load, policy, texts};

/// What each `query` is within, from the root, and the requests and loads that are closed.
#[derive(Clone, Default)]
struct Queries(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<String>>>);

/// A span as people read it, after what it follows from.
struct Said(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Queries {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut said = Said(span.name().to_owned());
        attributes.record(&mut said);
        span.extensions_mut().insert(said);
        if span.name() == "query" {
            let path =
                span.scope().from_root().map(|span| span.extensions().get::<Said>().unwrap().0.clone());
            self.0.lock().unwrap().push(path.collect::<Vec<_>>().join(" / "));
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let [span, before] = [id, follows].map(|id| context.span(id).unwrap());
        let before = before.extensions().get::<Said>().unwrap().0.clone();
        let mut extensions = span.extensions_mut();
        let Said(said) = extensions.get_mut::<Said>().unwrap();
        *said = format!("{before} → {said}");
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        values.record(extensions.get_mut::<Said>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        if ["request", "cache.load"].contains(&span.name()) {
            self.1.lock().unwrap().push(span.extensions().get::<Said>().unwrap().0.clone());
        }
    }
}

impl Queries {
    /// On this thread. There is another subscriber beside it, which hears nothing: with one alone, a span that another
    /// thread is the first to open, and which nobody hears there, is taken for one that nobody hears anywhere.
    fn listen(&self) -> (Dispatch, DefaultGuard) {
        let beside = Dispatch::new(tracing_subscriber::registry());
        (beside, tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone())))
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

async fn query() -> Result<Option<String>, Infallible> {
    let _query = info_span!("query");
    Ok(Some("text".to_owned()))
}

async fn requests(cache: &Texts) {
    let found = || async { query().await.map(Option::unwrap) };
    let request = |of: &'static str| info_span!("request", of);
    cache.get_or_load(&key("secret 1"), found).instrument(request("load")).await.unwrap();
    cache.get_or_find(&key("secret 2"), query).instrument(request("find")).await.unwrap();
    cache.answer(&key("secret 3"), query).instrument(request("answer")).await.unwrap();
    let many = |keys: Vec<String>| async move {
        query().await.map(|_| keys.into_iter().map(|key| (key, "text".to_owned())).collect::<HashMap<_, _>>())
    };
    let keys = [key("secret 4"), key("secret 5")];
    cache.get_many_or_load(&keys, many).instrument(request("many")).await.unwrap();
    // It is due: answered at once, and loaded anew behind.
    sleep(Duration::from_secs(40)).await;
    cache.get_or_load(&key("secret 1"), found).instrument(request("refresh")).await.unwrap();
    sleep(Duration::from_secs(1)).await;
}

/// One trace from the request to the query: the load runs in a task of the cache's own, which is no end of it. No span
/// says a key.
#[tokio::test(start_paused = true)]
async fn a_load_belongs_to_the_trace_of_who_brought_it() {
    let queries = Queries::default();
    let _listening = queries.listen();
    let nodes = Nodes::new(1, |_| {}).await;
    let mut due = policy(Duration::from_secs(60));
    due.refresh = Refresh::At { share: 0.5 };
    for store in [&Store::memory(in_tokio_time()), &nodes.stores[0]] {
        requests(&texts(store, &due)).await;
        let expected = ["load", "find", "answer", "many", "refresh"].map(|of| {
            let keys = if of == "many" { " keys=2" } else { "" };
            let behind = if of == "refresh" { " → cache.behind cache=\"texts\"" } else { "" };
            format!("request of=\"{of}\"{behind} / cache.load cache=\"texts\"{keys} / query")
        });
        assert_eq!(std::mem::take(&mut *queries.0.lock().unwrap()), expected);
    }
}

/// A trace shows which of its loads failed, without their words, which may say anything.
#[tokio::test(start_paused = true)]
async fn a_load_that_fails_says_so() {
    let spans = Queries::default();
    let _listening = spans.listen();
    let nodes = Nodes::new(1, |_| {}).await;
    for store in [&Store::memory(in_tokio_time()), &nodes.stores[0]] {
        let cache = texts(store, &policy(Duration::from_secs(60)));
        load(&cache, "one", "x").await;
        cache.get_or_load(&key("two"), || async { Err::<String, _>("secret 2") }).await.unwrap_err();
        let panics = || async { if true { panic!("on purpose") } else { query().await.map(Option::unwrap) } };
        cache.get_or_load(&key("three"), panics).await.unwrap_err();
        let hangs = |_| std::future::pending::<Result<HashMap<String, String>, Infallible>>();
        cache.get_many_or_load(&[key("four")], hangs).await.unwrap_err();
        sleep(Duration::from_millis(1)).await;
        let load = "cache.load cache=\"texts\"";
        let failed = |more: &str, kind: &str| format!("{load}{more} error.type={kind:?}");
        let closed =
            [load.to_owned(), failed("", "failed"), failed("", "panic"), failed(" keys=1", "timeout")];
        assert_eq!(std::mem::take(&mut *spans.1.lock().unwrap()), closed);
    }
}

/// Nobody waits for what is loaded behind a request, which is over before.
#[tokio::test(start_paused = true)]
async fn a_request_ends_before_what_it_left_behind() {
    let spans = Queries::default();
    let _listening = spans.listen();
    let nodes = Nodes::new(2, |_| {}).await;
    let mut due = policy(Duration::from_secs(60));
    due.refresh = Refresh::At { share: 0.5 };
    let [a, b] = &nodes.texts(&due)[..] else { unreachable!() };
    load(a, "due", "text").await;
    // The next question after many is one that reads first.
    load(b, "had", "text").await;
    let slow = || async {
        sleep(Duration::from_secs(20)).await;
        query().await.map(Option::unwrap)
    };
    let slow_many = move |keys: Vec<String>| async move {
        slow().await.map(|text| keys.into_iter().map(|key| (key, text.clone())).collect::<HashMap<_, _>>())
    };
    assert_eq!(a.get_many_or_load(&[key("had")], slow_many).await.unwrap().len(), 1);
    sleep(Duration::from_secs(40)).await;
    let left = Duration::from_millis(1);
    let request = |of: &'static str| info_span!("request", of);
    a.get_or_load(&key("due"), slow).instrument(request("refresh")).await.unwrap();
    nodes.twin.slow(0, Duration::from_secs(1));
    let (one, many) = (key("one"), [key("many"), key("many too")]);
    timeout(left, a.get_or_load(&one, slow).instrument(request("left"))).await.unwrap_err();
    timeout(left, a.get_many_or_load(&many, slow_many).instrument(request("left many"))).await.unwrap_err();
    sleep(Duration::from_secs(10)).await;
    let closed = ["refresh", "left", "left many"].map(|of| format!("request of=\"{of}\""));
    let mut requests = spans.1.lock().unwrap().clone();
    requests.retain(|said| said.starts_with("request"));
    assert_eq!((&requests[..], spans.0.lock().unwrap().len()), (&closed[..], 0));
    sleep(Duration::from_secs(60)).await;
    let mut queries = std::mem::take(&mut *spans.0.lock().unwrap());
    queries.sort_unstable();
    let expected = [("left many", " keys=2"), ("left", ""), ("refresh", "")].map(|(of, keys)| {
        let behind = "→ cache.behind cache=\"texts\" / cache.load cache=\"texts\"";
        format!("request of=\"{of}\" {behind}{keys} / query")
    });
    assert_eq!(queries, expected);
}
