//! What is measured, and of whom.

/// One row of the result.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    /// The load program's arguments, and how long it takes in a measurement and in a look.
    pub(super) load: &'static [&'static str],
    pub(super) long: &'static [&'static str],
    pub(super) short: &'static [&'static str],
    /// In the first round alone: it takes minutes, and nothing is compared with it.
    pub(super) once: bool,
    /// In this order within a round, and in the other one in every second round.
    pub(super) targets: &'static [Target],
}

/// What a row's figures are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A delivery's cost, beside the floor's cost in the row of this name: one by one, in every case.
    Fanout { floor: &'static str },
    /// The same with some members stuck, and without them.
    Stuck,
    /// How long an event takes to its last member.
    Paced,
    /// What it costs to come.
    Connect,
    /// What it costs to be there.
    Idle,
}

/// A server.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Target {
    /// Our rooms with an authority, numbers, history and metrics.
    Ours,
    /// An epoll loop that sends to each member: what the kernel takes from everybody who does.
    Floor,
    /// uWebSockets, which is built into Bun.
    Bun,
    /// tokio-tungstenite with small buffers, and tokio's broadcast.
    Tungstenite,
    Socketioxide,
    /// Node's ws.
    NodeWs,
}

// === impl Row ===

impl Row {
    /// Whether a user means it: by its name, or by the beginning of one that no row has.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let exact = ROWS.iter().any(|row| row.name == name);
        if exact { self.name == name } else { self.name.starts_with(name) }
    }

    /// The load program's arguments, in a measurement or in a look.
    pub(super) fn arguments(&self, quick: bool) -> impl Iterator<Item = &'static str> {
        let times = if quick { self.short } else { self.long };
        self.load.iter().chain(times).copied()
    }
}

// === impl Target ===

impl Target {
    pub(super) const ALL: [Self; 6] =
        [Self::Ours, Self::Floor, Self::Bun, Self::Tungstenite, Self::Socketioxide, Self::NodeWs];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Floor => "floor",
            Self::Bun => "bun",
            Self::Tungstenite => "tungstenite",
            Self::Socketioxide => "socketioxide",
            Self::NodeWs => "node-ws",
        }
    }

    /// Whether we have to be ahead of it.
    pub(super) fn is_rival(self) -> bool {
        match self {
            // Nobody is ahead of uWebSockets: how far behind it we may be is a bar of its own.
            Self::Ours | Self::Floor | Self::Bun => false,
            Self::Tungstenite | Self::Socketioxide | Self::NodeWs => true,
        }
    }

    /// What its members say; see the load program.
    pub(super) fn dialect(self) -> &'static str {
        match self {
            Self::Ours => "tramline",
            Self::Socketioxide => "socket-io",
            Self::Floor | Self::Bun | Self::Tungstenite | Self::NodeWs => "plain",
        }
    }

    /// Its package in the peers' workspace, if it has one.
    pub(super) fn package(self) -> Option<&'static str> {
        match self {
            Self::Tungstenite => Some("tungstenite-rooms"),
            Self::Socketioxide => Some("socketioxide-rooms"),
            Self::Ours | Self::Floor | Self::Bun | Self::NodeWs => None,
        }
    }
}

/// Those who are measured in all rows that compare.
const ALL: &[Target] = &Target::ALL;

const FANOUT: (&[&str], &[&str]) =
    (&["--warmup", "1", "--seconds", "4"], &["--warmup", "0.5", "--seconds", "1.5"]);

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "single-1k",
        title: "a room of 1,000, one event under way",
        kind: Kind::Fanout { floor: "single-1k" },
        load: &["fanout", "--members", "1000", "--burst", "1"],
        long: FANOUT.0,
        short: FANOUT.1,
        once: false,
        targets: ALL,
    },
    Row {
        name: "burst-1k",
        title: "the same with eight events at once; × floor is of its cost in `single-1k`",
        kind: Kind::Fanout { floor: "single-1k" },
        load: &["fanout", "--members", "1000", "--burst", "8"],
        long: FANOUT.0,
        short: FANOUT.1,
        once: false,
        targets: ALL,
    },
    Row {
        name: "single-10k",
        title: "a room of 10,000, one event under way",
        kind: Kind::Fanout { floor: "single-10k" },
        load: &["fanout", "--members", "10000", "--burst", "1"],
        long: FANOUT.0,
        short: FANOUT.1,
        once: false,
        targets: ALL,
    },
    Row {
        name: "burst-10k",
        title: "the same with eight events at once; × floor is of its cost in `single-10k`",
        kind: Kind::Fanout { floor: "single-10k" },
        load: &["fanout", "--members", "10000", "--burst", "8"],
        long: FANOUT.0,
        short: FANOUT.1,
        once: false,
        targets: ALL,
    },
    Row {
        name: "pairs",
        title: "5,000 rooms of two, 64 events at once for as many rooms",
        kind: Kind::Fanout { floor: "pairs" },
        load: &["fanout", "--rooms", "5000", "--members", "2", "--burst", "64"],
        long: FANOUT.0,
        short: FANOUT.1,
        once: false,
        targets: ALL,
    },
    Row {
        name: "paced-1k",
        title: "20,000 deliveries a second to a room of 1,000",
        kind: Kind::Paced,
        load: &["paced", "--members", "1000", "--rate", "20000"],
        long: &["--warmup", "1", "--seconds", "10"],
        short: &["--warmup", "0.5", "--seconds", "4"],
        once: false,
        targets: ALL,
    },
    Row {
        name: "paced-10k",
        title: "20,000 deliveries a second to a room of 10,000",
        kind: Kind::Paced,
        load: &["paced", "--members", "10000", "--rate", "20000"],
        long: &["--warmup", "1", "--seconds", "10"],
        short: &["--warmup", "0.5", "--seconds", "4"],
        once: false,
        targets: ALL,
    },
    Row {
        name: "connect",
        title: "2,000 come to one room, 16 together: the handshake and the way into the room",
        kind: Kind::Connect,
        load: &["connect", "--count", "2000", "--together", "16"],
        long: &[],
        short: &[],
        once: false,
        targets: ALL,
    },
    Row {
        name: "join-10k",
        title: "500 come to a room of 10,000, one by one",
        kind: Kind::Connect,
        load: &["connect", "--count", "500", "--together", "1", "--before", "10000"],
        long: &[],
        short: &[],
        once: false,
        targets: ALL,
    },
    Row {
        name: "stuck",
        title: "a room of 1,000, eight events at once, with ten more members that never read, and without them",
        kind: Kind::Stuck,
        load: &["stuck", "--members", "1000", "--burst", "8", "--stuck", "10"],
        long: &["--warmup", "1", "--seconds", "3"],
        short: &["--warmup", "0.5", "--seconds", "2"],
        once: false,
        // The floor cuts whoever does not read, and ws lets wait what it has memory for.
        targets: &[Target::Ours, Target::Bun, Target::Tungstenite, Target::Socketioxide],
    },
    Row {
        name: "idle",
        title: "10,000 members of one room, who have nothing to hear",
        kind: Kind::Idle,
        load: &["idle", "--connections", "10000"],
        long: &["--settle", "6"],
        short: &["--settle", "3"],
        once: false,
        targets: ALL,
    },
    Row {
        name: "idle-15k",
        title: "15,000 for five minutes (40 seconds in a look), heartbeats included",
        kind: Kind::Idle,
        load: &["idle", "--connections", "15000"],
        long: &["--settle", "6", "--seconds", "300"],
        short: &["--settle", "3", "--seconds", "40"],
        once: true,
        targets: &[Target::Ours],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_called_by_its_name_or_a_beginning() {
        let called = |name: &str| {
            ROWS.iter().filter(|row| row.is_called(name)).map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(called("idle"), ["idle"], "not the row that begins like it");
        assert_eq!(called("single"), ["single-1k", "single-10k"]);
        assert!(called("triple").is_empty());
    }

    /// Ratios are of these.
    #[test]
    fn every_fanout_has_our_rooms_and_a_floor() {
        for row in ROWS {
            assert!(row.targets.contains(&Target::Ours), "{}", row.name);
            if let Kind::Fanout { floor } = row.kind {
                let floor = ROWS.iter().find(|row| row.name == floor).unwrap();
                assert!(floor.targets.contains(&Target::Floor), "{}", row.name);
            }
        }
    }
}
