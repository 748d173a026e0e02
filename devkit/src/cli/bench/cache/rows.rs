//! What is measured, by whom, and what we hold ourselves to.

/// One row of the result.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What the load programs call it.
    pub(super) command: &'static str,
    /// Whether it is run by the program that counts allocations.
    pub(super) counted: bool,
    pub(super) way: Way,
    /// Whose figure must be steady for the others to count, and which one that is.
    pub(super) reference: Option<(Client, &'static str)>,
    /// Figures and what stands above them.
    pub(super) columns: &'static [(&'static str, &'static str)],
    pub(super) bars: &'static [Bar],
    /// In this order within a round.
    pub(super) clients: &'static [Client],
}

/// How the programs come to Redis.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// They do not.
    None,
    Redis,
    /// Each trip takes 10 ms.
    Slow,
}

/// What a figure of ours must be.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) figure: &'static str,
    /// What it is called.
    pub(super) words: &'static str,
    pub(super) beside: Beside,
    pub(super) bound: Bound,
}

/// What our figure is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beside {
    Nothing,
    /// As a ratio.
    Client(Client),
    /// As a difference.
    Over(Client),
    /// As a ratio to another figure of ours.
    Own(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    Most(f64),
    Least(f64),
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Client {
    Ours,
    /// What one writes without a cache library.
    ByHand,
    QuickCache,
    Moka,
    MokaFuture,
    Cached,
    Amalgam,
    Redis,
    Fred,
    Bento,
}

// === impl Client ===

impl Client {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::ByHand => "by-hand",
            Self::QuickCache => "quick-cache",
            Self::Moka => "moka",
            Self::MokaFuture => "moka-future",
            Self::Cached => "cached",
            Self::Amalgam => "amalgam",
            Self::Redis => "redis",
            Self::Fred => "fred",
            Self::Bento => "bentocache",
        }
    }
}

const fn most(figure: &'static str, words: &'static str, beside: Beside, most: f64) -> Bar {
    Bar { figure, words, beside, bound: Bound::Most(most) }
}

const fn least(figure: &'static str, words: &'static str, beside: Beside, least: f64) -> Bar {
    Bar { figure, words, beside, bound: Bound::Least(least) }
}

const IN_MEMORY: &[Client] = &[
    Client::Ours,
    Client::QuickCache,
    Client::ByHand,
    Client::Moka,
    Client::MokaFuture,
    Client::Cached,
    Client::Amalgam,
];

const HIT_BARS: &[Bar] = &[
    most("ns", "a hit of quick_cache's", Beside::Client(Client::QuickCache), 1.3),
    most("ns", "a hit of amalgam's", Beside::Client(Client::Amalgam), 1.0 / 3.0),
];

const CALLS: &[(&str, &str)] = &[
    ("rate", "keys/s"),
    ("mean", "mean µs a call"),
    ("p50", "p50 µs"),
    ("p99", "p99 µs"),
    ("cpu", "client CPU µs a key"),
];

const OVER_REDIS: &[Client] = &[Client::Ours, Client::Redis, Client::ByHand, Client::Fred, Client::Amalgam];

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "hit-1",
        title: "a hit in memory: 10,000 keys by Zipf's law, one thread",
        command: "hit-1",
        counted: false,
        way: Way::None,
        reference: Some((Client::QuickCache, "ns")),
        columns: &[("ns", "CPU ns a hit")],
        bars: HIT_BARS,
        clients: IN_MEMORY,
    },
    Row {
        name: "hit-2",
        title: "the same, two threads",
        command: "hit-2",
        counted: false,
        way: Way::None,
        reference: Some((Client::QuickCache, "ns")),
        columns: &[("ns", "CPU ns a hit")],
        bars: HIT_BARS,
        clients: IN_MEMORY,
    },
    Row {
        name: "allocations",
        title: "allocations of a hit in memory",
        command: "hit-1",
        counted: true,
        way: Way::None,
        reference: None,
        columns: &[("allocations", "allocations a hit")],
        // The recorder of metrics has some of its own in a million hits.
        bars: &[most("allocations", "allocations a hit", Beside::Nothing, 0.001)],
        clients: &[Client::Ours],
    },
    Row {
        name: "zipf",
        title: "hits of a million keys by Zipf's law, with memory for a tenth of them",
        command: "zipf",
        counted: false,
        way: Way::None,
        reference: None,
        columns: &[("hit_rate", "hits of 100 questions")],
        bars: &[
            least("hit_rate", "hits of 100 questions", Beside::Nothing, 80.0),
            least("hit_rate", "hits of 100 questions more than moka", Beside::Over(Client::Moka), -1.0),
        ],
        clients: &[Client::Ours, Client::QuickCache, Client::Moka],
    },
    Row {
        name: "shared-1",
        title: "what only Redis has, one by one",
        command: "shared-1",
        counted: false,
        way: Way::Redis,
        reference: Some((Client::Redis, "mean")),
        columns: CALLS,
        bars: &[most("mean", "µs a call more than redis-rs", Beside::Over(Client::Redis), 10.0)],
        clients: OVER_REDIS,
    },
    Row {
        name: "shared-64",
        title: "what only Redis has, 64 tasks",
        command: "shared-64",
        counted: false,
        way: Way::Redis,
        reference: Some((Client::Redis, "rate")),
        columns: CALLS,
        bars: &[least("rate", "keys a second of redis-rs's", Beside::Client(Client::Redis), 0.85)],
        clients: OVER_REDIS,
    },
    Row {
        name: "many-100",
        title: "a hundred keys at once that only Redis has",
        command: "many-100",
        counted: false,
        way: Way::Redis,
        reference: Some((Client::Redis, "rate")),
        columns: CALLS,
        bars: &[least("rate", "keys a second of bare MGET's", Beside::Client(Client::Redis), 0.85)],
        clients: &[Client::Ours, Client::Redis, Client::ByHand],
    },
    Row {
        name: "nobody-100",
        title: "a hundred keys at once that nobody has, over a way of 10 ms (bare redis: MGET of what is there)",
        command: "nobody-100",
        counted: false,
        way: Way::Slow,
        reference: None,
        columns: &[("trips", "times 10 ms a call"), ("loads", "loads a call")],
        bars: &[
            most("loads", "loads a call", Beside::Nothing, 1.0),
            // One to read and one to write.
            most("trips", "times what MGET takes", Beside::Client(Client::Redis), 2.5),
        ],
        clients: &[Client::Ours, Client::Redis],
    },
    Row {
        name: "stampede",
        title: "1,000 tasks in four processes ask for a cold key, whose load takes 100 ms",
        command: "stampede",
        counted: false,
        way: Way::Redis,
        reference: None,
        columns: &[("loads", "loads of a key at most"), ("over", "ms over the load until all have it")],
        bars: &[most("loads", "loads of a key at most", Beside::Nothing, 1.0)],
        clients: &[Client::Ours, Client::Amalgam, Client::Bento],
    },
    Row {
        name: "invalidate",
        title: "ended in one process, seen in another, idle (redis: PUBLISH to a subscriber)",
        command: "invalidate",
        counted: false,
        way: Way::Redis,
        reference: None,
        columns: &[("p50", "p50 µs"), ("p99", "p99 µs"), ("max", "worst µs")],
        bars: &[most("p99", "µs until 99 of 100 are seen", Beside::Nothing, 5000.0)],
        clients: &[Client::Ours, Client::Redis],
    },
    Row {
        name: "redis-killed",
        title: "Redis is killed",
        command: "redis-killed",
        counted: false,
        way: Way::Redis,
        reference: None,
        columns: &[
            ("hit_before", "ns a hit before"),
            ("hit_after", "after"),
            ("task_p99", "p99 µs of a bare task"),
            ("miss_before", "p50 µs a miss before"),
            ("first", "ms the first miss after"),
            ("miss_p50", "p50 µs later ones"),
            ("miss_p99", "p99 µs"),
            ("miss_max", "worst µs"),
            ("stale_p50", "p50 µs of a stale answer"),
            ("stale_p99", "p99 µs"),
            ("errors", "errors"),
        ],
        bars: &[
            most("hit_after", "a hit after of one before", Beside::Own("hit_before"), 1.15),
            most("miss_p99", "µs that 99 of 100 misses take at most", Beside::Nothing, 1000.0),
            most("errors", "errors", Beside::Nothing, 0.0),
        ],
        clients: &[Client::Ours, Client::Amalgam, Client::Bento],
    },
];
