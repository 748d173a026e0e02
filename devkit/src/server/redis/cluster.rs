//! Several masters that share the slots.

use std::sync::Arc;

use anyhow::Context;

use crate::ports::Port;
use crate::server::redis::{Redis, Tls, role, until};

/// A private cluster of masters. Ends when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
    replicas: Vec<Redis>,
}

/// One of them, and the port by which they speak among themselves.
struct Node {
    redis: Redis,
    bus: u16,
}

/// How many slots a cluster has.
const SLOTS: u32 = 16_384;

/// How long a node may be silent before it is taken for lost, in ms: long enough for a busy machine.
const NODE_TIMEOUT: &str = "3000";

// === impl RedisCluster ===

impl RedisCluster {
    /// Starts so many masters, and returns when each of them knows where all slots are.
    ///
    /// # Errors
    ///
    /// If Redis is not installed, is older than 7, or the cluster does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, all are killed.
    pub async fn start(masters: u16) -> anyhow::Result<Self> {
        Self::build(masters, false, None).await
    }

    /// The same, where each master has a replica that takes its place when it is gone for some seconds.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// If dropped, all are killed.
    pub async fn start_with_replicas(masters: u16) -> anyhow::Result<Self> {
        Self::build(masters, true, None).await
    }

    /// The same over TLS, with this certificate and key (PEM): all of them, among themselves too.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); also when Redis was built without TLS.
    ///
    /// # Cancel safety
    ///
    /// If dropped, all are killed.
    pub async fn start_tls(masters: u16, certificate: &str, key: &str) -> anyhow::Result<Self> {
        Self::build(masters, false, Some(Tls::new(certificate, key)?)).await
    }

    async fn build(masters: u16, replicated: bool, tls: Option<Arc<Tls>>) -> anyhow::Result<Self> {
        let (count, mut nodes, mut replicas) = (u32::from(masters.max(1)), Vec::new(), Vec::new());
        for n in 0..count {
            let node = node(tls.clone()).await?;
            let (first, last) = (n * SLOTS / count, (n + 1) * SLOTS / count - 1);
            // Whoever is asked once more, since the answer took too long, has done so already; the last look below proves it.
            until(&node.redis, &format!("CLUSTER SET-CONFIG-EPOCH {}", n + 1), &["+OK", "-ERR"]).await?;
            until(&node.redis, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"), &["+OK", "-ERR"]).await?;
            nodes.push(node);
            if replicated {
                replicas.push(self::node(tls.clone()).await?);
            }
        }
        for node in nodes.iter().skip(1).chain(&replicas) {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", node.redis.port_for_others(), node.bus);
            until(&nodes[0].redis, &meet, &["+OK"]).await?;
        }
        for (master, replica) in nodes.iter().zip(&replicas) {
            // Once it knows of that one.
            until(&replica.redis, &format!("CLUSTER REPLICATE {}", id(&master.redis)?), &["+OK"]).await?;
            until(&replica.redis, "ROLE", &[&role("slave", &master.redis)]).await?;
        }
        for node in nodes.iter().chain(&replicas) {
            // It takes part once it knows of all slots.
            until(&node.redis, "SET devkit here", &["+OK", "-MOVED"]).await?;
        }
        let [nodes, replicas] =
            [nodes, replicas].map(|nodes| nodes.into_iter().map(|node| node.redis).collect());
        Ok(Self { nodes, replicas })
    }

    /// Its masters. The first one has the first slots.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The replica of each master, in the same order, where they have some.
    #[must_use]
    pub fn replicas(&self) -> &[Redis] {
        &self.replicas
    }

    /// Returns when the replica of this one has taken its place, and all the others take part again.
    ///
    /// # Errors
    ///
    /// If that takes three minutes.
    pub async fn failed_over(&self, master: usize) -> anyhow::Result<()> {
        until(&self.replicas[master], "ROLE", &["*3\r\n$6\r\nmaster\r\n"]).await?;
        for (n, node) in self.nodes.iter().enumerate() {
            if n != master {
                until(node, "SET devkit here", &["+OK", "-MOVED"]).await?;
            }
        }
        Ok(())
    }

    /// Returns when this one, back again, follows the replica that took its place.
    ///
    /// # Errors
    ///
    /// If that takes a minute.
    pub async fn follows(&self, master: usize) -> anyhow::Result<()> {
        until(&self.nodes[master], "ROLE", &[&role("slave", &self.replicas[master])]).await
    }

    /// The URLs of all masters, over TLS where they speak it.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url_for_others).collect()
    }
}

async fn node(tls: Option<Arc<Tls>>) -> anyhow::Result<Node> {
    let port = Port::reserve()?;
    let bus = port.number();
    let number = bus.to_string();
    let settings = [
        ("--cluster-enabled", "yes"),
        ("--cluster-port", &number),
        ("--cluster-config-file", NODES),
        ("--cluster-node-timeout", NODE_TIMEOUT),
        // One that waits for a while before it sends everything, or before it takes over, would be of no use to a test.
        ("--repl-diskless-sync-delay", "0"),
        ("--cluster-replica-validity-factor", "0"),
    ];
    let settings: Vec<_> = settings.iter().flat_map(|(name, value)| [*name, *value]).collect();
    Ok(Node { redis: Redis::start_among(vec![port], &settings, tls).await?, bus })
}

/// The name that a node has given itself.
fn id(node: &Redis) -> anyhow::Result<String> {
    let known = std::fs::read_to_string(node.folder().join(NODES))?;
    let own = known.lines().find(|line| line.contains("myself")).context("a node knows itself")?;
    Ok(own.split(' ').next().unwrap_or_default().to_owned())
}

/// Where a node writes what it knows of the others.
const NODES: &str = "nodes.conf";
