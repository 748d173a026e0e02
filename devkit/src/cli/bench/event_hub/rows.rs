//! What is measured, and by whom.

/// One row of the result.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What the load programs call it.
    pub(super) command: &'static str,
    /// The kind of its queue; none where there is no broker.
    pub(super) queue: Option<&'static str>,
    /// Whether the queue is full at the start.
    pub(super) filled: bool,
    /// How many events, in a measurement and in a look.
    pub(super) events: (u32, u32),
    /// Turns in a round: short runs that differ by little take more of them.
    pub(super) turns: (u32, u32),
    pub(super) figure: Figure,
    /// In this order within a round.
    pub(super) clients: &'static [Client],
}

/// What a row is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Figure {
    /// Events a second.
    Throughput,
    /// The median time of one call.
    Call,
    /// The percentiles of the way through.
    Latency,
    /// Allocations an event.
    Allocations,
    /// Answers that were not true.
    Truth,
}

/// Who publishes or consumes, and how.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Client {
    /// Our hub, many events to a call.
    Hub,
    /// Our hub, one event to a call.
    HubEach,
    /// A bare socket: the broker's own limit.
    Raw,
    /// The same with the message that our hub sends.
    RawEvent,
    Lapin,
    /// Each call awaited before the next.
    LapinEach,
    Amqprs,
    Amqplib,
    Pika,
}

// === impl Row ===

impl Row {
    pub(super) fn events(&self, quick: bool) -> u32 {
        if quick { self.events.1 } else { self.events.0 }
    }

    pub(super) fn turns(&self, quick: bool) -> std::ops::Range<u32> {
        0..if quick { self.turns.1 } else { self.turns.0 }
    }
}

// === impl Client ===

impl Client {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::HubEach => "hub-each",
            Self::Raw => "raw",
            Self::RawEvent => "raw-event",
            Self::Lapin => "lapin",
            Self::LapinEach => "lapin-each",
            Self::Amqprs => "amqprs",
            Self::Amqplib => "amqplib",
            Self::Pika => "pika",
        }
    }

    /// What the load programs call the way it is used.
    pub(super) fn style(self) -> &'static str {
        match self {
            Self::HubEach | Self::LapinEach => "each",
            Self::RawEvent => "event",
            Self::Hub | Self::Raw | Self::Lapin | Self::Amqprs | Self::Amqplib | Self::Pika => "batched",
        }
    }

    /// Who consumes a message as our hub makes it gets one.
    pub(super) fn fill_style(self) -> &'static str {
        if self == Self::RawEvent { "event" } else { "batched" }
    }

    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Hub | Self::HubEach)
    }
}

const PUBLISHERS: &[Client] = &[
    Client::Hub,
    Client::HubEach,
    Client::Raw,
    Client::RawEvent,
    Client::Lapin,
    Client::LapinEach,
    Client::Amqprs,
    Client::Amqplib,
    Client::Pika,
];

const CONSUMERS: &[Client] = &[
    Client::Hub,
    Client::Raw,
    Client::RawEvent,
    Client::Lapin,
    Client::LapinEach,
    Client::Amqprs,
    Client::Amqplib,
    Client::Pika,
];

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "publish-classic",
        title: "publish with confirms, window 1000, classic queue",
        command: "publish",
        queue: Some("classic"),
        filled: false,
        events: (30_000, 10_000),
        turns: (1, 1),
        figure: Figure::Throughput,
        clients: PUBLISHERS,
    },
    Row {
        name: "publish-quorum",
        title: "publish with confirms, window 1000, quorum queue",
        command: "publish",
        queue: Some("quorum"),
        filled: false,
        events: (30_000, 10_000),
        turns: (1, 1),
        figure: Figure::Throughput,
        clients: PUBLISHERS,
    },
    Row {
        name: "consume-classic",
        title: "consume with acks, prefetch 250, one ack for 25 and more, classic queue",
        command: "consume",
        queue: Some("classic"),
        filled: true,
        events: (30_000, 10_000),
        turns: (1, 1),
        figure: Figure::Throughput,
        clients: CONSUMERS,
    },
    Row {
        name: "consume-quorum",
        title: "consume with acks, prefetch 250, one ack for 25 and more, quorum queue",
        command: "consume",
        queue: Some("quorum"),
        filled: true,
        events: (30_000, 10_000),
        turns: (1, 1),
        figure: Figure::Throughput,
        clients: CONSUMERS,
    },
    Row {
        name: "awaited",
        title: "one awaited publish, classic queue",
        command: "awaited",
        queue: Some("classic"),
        filled: false,
        events: (1000, 500),
        turns: (3, 2),
        figure: Figure::Call,
        clients: &[Client::Hub, Client::Raw, Client::Lapin, Client::Amqprs],
    },
    Row {
        name: "latency-classic",
        title: "publish to handler at 1,000 events/s, classic queue",
        command: "latency",
        queue: Some("classic"),
        filled: false,
        events: (5000, 2000),
        turns: (1, 1),
        figure: Figure::Latency,
        clients: &[Client::Hub, Client::Raw, Client::Lapin],
    },
    Row {
        name: "latency-quorum",
        title: "publish to handler at 1,000 events/s, quorum queue",
        command: "latency",
        queue: Some("quorum"),
        filled: false,
        events: (5000, 2000),
        turns: (1, 1),
        figure: Figure::Latency,
        clients: &[Client::Hub, Client::Raw, Client::Lapin],
    },
    Row {
        name: "memory",
        title: "memory hub through one handler",
        command: "memory",
        queue: None,
        filled: false,
        events: (1_000_000, 300_000),
        turns: (1, 1),
        figure: Figure::Throughput,
        clients: &[Client::Hub, Client::HubEach],
    },
    Row {
        name: "allocations-publish",
        title: "allocations of a publish, quorum queue",
        command: "publish",
        queue: Some("quorum"),
        filled: false,
        events: (10_000, 5000),
        turns: (1, 1),
        figure: Figure::Allocations,
        clients: &[Client::Hub, Client::HubEach],
    },
    Row {
        name: "allocations-consume",
        title: "allocations of a handled event, quorum queue",
        command: "consume",
        queue: Some("quorum"),
        filled: true,
        events: (10_000, 5000),
        turns: (1, 1),
        figure: Figure::Allocations,
        clients: &[Client::Hub],
    },
    Row {
        name: "allocations-memory",
        title: "allocations of an event through the memory hub",
        command: "memory",
        queue: None,
        filled: false,
        events: (100_000, 50_000),
        turns: (1, 1),
        figure: Figure::Allocations,
        clients: &[Client::Hub],
    },
    Row {
        name: "truth-concurrent",
        title: "answers of 8 tasks that share a channel, or the hub: accepted, refused, unroutable",
        command: "concurrent",
        queue: Some("quorum"),
        filled: false,
        events: (40_000, 40_000),
        turns: (1, 1),
        figure: Figure::Truth,
        clients: &[Client::Hub, Client::Lapin],
    },
    Row {
        name: "truth-mandatory",
        title: "answers of one task, every other publish unroutable",
        command: "mandatory",
        queue: Some("quorum"),
        filled: false,
        events: (10_000, 10_000),
        turns: (1, 1),
        figure: Figure::Truth,
        clients: &[Client::Hub, Client::Lapin],
    },
    Row {
        name: "truth-waiting",
        title: "rounds of 21 publishes, then «all are confirmed» (lapin's `wait_for_confirms`, our `publish_all`)",
        command: "waiting",
        queue: Some("quorum"),
        filled: false,
        events: (100, 100),
        turns: (1, 1),
        figure: Figure::Truth,
        clients: &[Client::Hub, Client::Lapin],
    },
];
