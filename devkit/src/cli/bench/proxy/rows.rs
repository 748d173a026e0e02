//! What is measured, and of whom.

use std::time::Duration;

/// One row of the result.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) load: Load,
    pub(super) front: Front,
    /// Threads or workers of the proxy.
    pub(super) threads: u16,
    /// In this order within a round, and in the other one in every second round.
    pub(super) targets: &'static [Target],
}

/// What is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Load {
    /// Small answers in a closed loop.
    Small,
    /// The same, each request for another route of the proxy's.
    Routes,
    /// One big upload.
    Up,
    /// One big download.
    Down,
    /// Connections that do nothing.
    Idle,
}

/// What clients speak to the proxy; the origin is spoken to in HTTP/1.1 without TLS by all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Front {
    /// HTTP/1.1.
    Http1,
    /// The same within TLS 1.3.
    Tls,
    /// HTTP/2 within TLS 1.3, by ALPN.
    TlsHttp2,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
}

/// A proxy.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Target {
    /// Our example `forward`.
    Ours,
    /// Our proxy with routes, limits and the recorder of metrics.
    OursFull,
    /// The same with so many routes.
    OursTenThousand,
    /// Bytes from one socket to the other: what the kernel takes from everybody.
    Relay,
    /// hyper's connections and a vector of idle ones: the control of most bars.
    HyperOwn,
    /// hyper's server and hyper-util's client.
    HyperLegacy,
    Nginx,
    Haproxy,
    AxumReverseProxy,
    Pingora,
    NodeHttpProxy,
}

/// Those whose cost tells of the machine's mood: they change less than we do.
pub(super) const CONTROLS: [Target; 2] = [Target::Nginx, Target::HyperOwn];

// === impl Row ===

impl Row {
    /// Whether a user means it: by its name, or by the beginning of one that no row has.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let exact = ROWS.iter().any(|row| row.name == name);
        if exact { self.name == name } else { self.name.starts_with(name) }
    }
}

// === impl Load ===

impl Load {
    /// The load program's arguments, in a measurement and in a look.
    pub(super) fn arguments(self, quick: bool) -> &'static [&'static str] {
        match (self, quick) {
            (Self::Small | Self::Routes, false) => &["small", "--warmup", "1", "--seconds", "5"],
            (Self::Small | Self::Routes, true) => &["small", "--warmup", "0.5", "--seconds", "2"],
            (Self::Up, false) => &["up", "--bytes", "1073741824"],
            (Self::Up, true) => &["up", "--bytes", "268435456"],
            (Self::Down, false) => &["down", "--bytes", "1073741824"],
            (Self::Down, true) => &["down", "--bytes", "268435456"],
            (Self::Idle, false) => &["idle", "--connections", "10000", "--settle", "6"],
            (Self::Idle, true) => &["idle", "--connections", "10000", "--settle", "3"],
        }
    }

    /// Whether it is small answers in a closed loop.
    pub(super) fn is_small(self) -> bool {
        matches!(self, Self::Small | Self::Routes)
    }

    /// How many connections a proxy is configured for, both sides together. nginx and HAProxy make room for all of
    /// them at their start, and what nobody uses would be in their memory.
    pub(super) fn connections(self) -> u32 {
        match self {
            Self::Small | Self::Routes | Self::Up | Self::Down => 1024,
            // nginx closes idle ones when no more than a sixteenth is left.
            Self::Idle => 12_000,
        }
    }

    /// What takes longer than this hangs.
    pub(super) fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Small | Self::Routes => 30,
            // The slowest spools a gigabyte to a disk first.
            Self::Up | Self::Down => 120,
            Self::Idle => 90,
        })
    }
}

// === impl Front ===

impl Front {
    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsHttp2)
    }

    pub(super) fn is_http2(self) -> bool {
        matches!(self, Self::TlsHttp2 | Self::Http2)
    }
}

// === impl Target ===

impl Target {
    /// Whether a user means it: by its name, or by the beginning of one that no target has.
    pub(super) fn is_called(self, name: &str) -> bool {
        let mut all = ROWS.iter().flat_map(|row| row.targets);
        if all.any(|target| target.name() == name) {
            self.name() == name
        } else {
            self.name().starts_with(name)
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursFull => "ours-full",
            Self::OursTenThousand => "ours-full-10000",
            Self::Relay => "relay",
            Self::HyperOwn => "hyper-own",
            Self::HyperLegacy => "hyper-legacy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::AxumReverseProxy => "axum-reverse-proxy",
            Self::Pingora => "pingora",
            Self::NodeHttpProxy => "node-http-proxy",
        }
    }

    /// Its package in the peers' workspace, if it has one.
    pub(super) fn package(self) -> Option<&'static str> {
        match self {
            Self::Relay | Self::HyperOwn | Self::HyperLegacy => Some("bare"),
            Self::AxumReverseProxy => Some("axum-reverse-proxy-peer"),
            Self::Pingora => Some("pingora-peer"),
            Self::Ours
            | Self::OursFull
            | Self::OursTenThousand
            | Self::Nginx
            | Self::Haproxy
            | Self::NodeHttpProxy => None,
        }
    }

    /// Debian's package that it is, or is built with.
    pub(super) fn needs(self) -> Option<&'static str> {
        match self {
            Self::Nginx => Some("nginx"),
            Self::Haproxy => Some("haproxy"),
            Self::Pingora => Some("cmake"),
            Self::Ours
            | Self::OursFull
            | Self::OursTenThousand
            | Self::Relay
            | Self::HyperOwn
            | Self::HyperLegacy
            | Self::AxumReverseProxy
            | Self::NodeHttpProxy => None,
        }
    }

    /// Whether it takes minutes to build: a look does without it, unless it is asked for.
    pub(super) fn is_heavy(self) -> bool {
        self == Self::Pingora
    }

    /// How many routes it has, if it has a table.
    pub(super) fn routes(self) -> Option<u32> {
        match self {
            Self::OursFull => Some(10),
            Self::OursTenThousand => Some(10_000),
            _ => None,
        }
    }

    /// Whether it does the header work that all do.
    pub(super) fn is_proxy(self) -> bool {
        self != Self::Relay
    }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "h1-1k",
        title: "HTTP/1.1, 64 kept connections in a closed loop, answers of 1 KiB, one thread",
        load: Load::Small,
        front: Front::Http1,
        threads: 1,
        targets: &[
            Target::Ours,
            Target::OursFull,
            Target::HyperOwn,
            Target::Nginx,
            Target::Haproxy,
            Target::Relay,
            Target::HyperLegacy,
            Target::AxumReverseProxy,
            Target::Pingora,
            Target::NodeHttpProxy,
        ],
    },
    Row {
        name: "h1-1k-2t",
        title: "the same with two threads or workers",
        load: Load::Small,
        front: Front::Http1,
        threads: 2,
        targets: &[Target::Ours, Target::Nginx, Target::HyperOwn, Target::Haproxy, Target::Pingora],
    },
    Row {
        name: "routes",
        title: "the same, each request for another one of ten routes, or of ten thousand",
        load: Load::Routes,
        front: Front::Http1,
        threads: 1,
        targets: &[Target::OursFull, Target::OursTenThousand],
    },
    Row {
        name: "tls-h1",
        title: "HTTP/1.1 within TLS 1.3, 64 kept connections in a closed loop, answers of 1 KiB, one thread",
        load: Load::Small,
        front: Front::Tls,
        threads: 1,
        targets: &[Target::OursFull, Target::Nginx, Target::Haproxy],
    },
    Row {
        name: "tls-h2",
        title: "HTTP/2 within TLS 1.3 in, HTTP/1.1 out, 4 connections of 16 streams, one thread",
        load: Load::Small,
        front: Front::TlsHttp2,
        threads: 1,
        targets: &[Target::OursFull, Target::Nginx, Target::Haproxy],
    },
    Row {
        name: "h2c-h1",
        title: "HTTP/2 by prior knowledge in, HTTP/1.1 out, 4 connections of 16 streams, one thread",
        load: Load::Small,
        front: Front::Http2,
        threads: 1,
        targets: &[Target::Ours, Target::Haproxy, Target::Nginx],
    },
    Row {
        name: "up-1g",
        title: "one upload of 1 GiB (256 MiB in a look), one thread",
        load: Load::Up,
        front: Front::Http1,
        threads: 1,
        targets: STREAMERS,
    },
    Row {
        name: "down-1g",
        title: "one download of 1 GiB (256 MiB in a look), one thread",
        load: Load::Down,
        front: Front::Http1,
        threads: 1,
        targets: STREAMERS,
    },
    Row {
        name: "idle-10k",
        title: "10,000 connections, each kept after one answer",
        load: Load::Idle,
        front: Front::Http1,
        threads: 1,
        targets: &[
            Target::Ours,
            Target::HyperOwn,
            Target::Nginx,
            Target::Haproxy,
            Target::HyperLegacy,
            Target::AxumReverseProxy,
            Target::Pingora,
            Target::NodeHttpProxy,
        ],
    },
];

const STREAMERS: &[Target] = &[
    Target::Ours,
    Target::HyperOwn,
    Target::Nginx,
    Target::Haproxy,
    Target::Relay,
    Target::AxumReverseProxy,
    Target::Pingora,
    Target::NodeHttpProxy,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_called_by_its_name_or_a_beginning() {
        let called = |name: &str| {
            ROWS.iter().filter(|row| row.is_called(name)).map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(called("h1-1k"), ["h1-1k"], "not the row that begins like it");
        assert_eq!(called("h1"), ["h1-1k", "h1-1k-2t"]);
        assert_eq!(called("up"), ["up-1g"]);
        assert!(called("h3").is_empty());
    }

    #[test]
    fn a_proxy_is_called_by_its_name_or_a_beginning() {
        let called = |name: &str| {
            let all = ROWS[0].targets.iter();
            all.filter(|target| target.is_called(name)).map(|target| target.name()).collect::<Vec<_>>()
        };
        assert_eq!(called("ours"), ["ours"], "not the one that begins like it");
        assert_eq!(called("ours-f"), ["ours-full"]);
        assert_eq!(called("hyper"), ["hyper-own", "hyper-legacy"]);
        assert!(called("envoy").is_empty());
    }

    /// Ratios are of these.
    #[test]
    fn every_row_has_our_proxy_and_its_controls() {
        for row in ROWS {
            let (ours, controls) = match (row.load, row.front) {
                // One of ours beside the other.
                (Load::Routes, _) => (Target::OursTenThousand, &[Target::OursFull][..]),
                // The bare ones speak neither TLS nor HTTP/2.
                (_, Front::Tls | Front::TlsHttp2) => {
                    (Target::OursFull, &[Target::Haproxy, Target::Nginx][..])
                }
                (_, Front::Http2) => (Target::Ours, &[Target::Haproxy, Target::Nginx][..]),
                (_, Front::Http1) => (Target::Ours, &CONTROLS[..]),
            };
            assert!(row.targets.contains(&ours), "{}", row.name);
            assert!(controls.iter().all(|control| row.targets.contains(control)), "{}", row.name);
            // A table is asked for by those who have one.
            assert_eq!(row.load == Load::Routes, row.targets.iter().all(|target| target.routes().is_some()));
        }
    }
}
