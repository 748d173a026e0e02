//! Several masters that share the slots.

use crate::ports::Port;
use crate::server::redis::{Redis, until};

/// A private cluster of masters. Ends when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
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
        let (count, mut nodes, mut buses) = (u32::from(masters.max(1)), Vec::new(), Vec::new());
        for n in 0..count {
            let ports = vec![Port::reserve()?, Port::reserve()?];
            let bus = ports[1].number().to_string();
            let settings = ["--cluster-enabled", "yes", "--cluster-port", &bus].into_iter().chain([
                "--cluster-config-file",
                "nodes.conf",
                "--cluster-node-timeout",
                NODE_TIMEOUT,
            ]);
            let node = Redis::start_on(ports, &settings.collect::<Vec<_>>()).await?;
            let (first, last) = (n * SLOTS / count, (n + 1) * SLOTS / count - 1);
            until(&node, &format!("CLUSTER SET-CONFIG-EPOCH {}", n + 1), &["+OK"]).await?;
            until(&node, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"), &["+OK"]).await?;
            nodes.push(node);
            buses.push(bus);
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.addr().port());
            until(&nodes[0], &meet, &["+OK"]).await?;
        }
        for node in &nodes {
            // It takes part once it knows of all slots.
            until(node, "SET devkit here", &["+OK", "-MOVED"]).await?;
        }
        Ok(Self { nodes })
    }

    /// Its masters. The first one has the first slots.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The URLs of all.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}
