//! One task that looks at all connections of a node, a slice at a time.

use std::sync::Weak;

use tokio::time::{Instant, sleep_until};

use crate::config::HeartbeatConfig;
use crate::node::Node;
use crate::session::heartbeat::check;

/// Connections that are looked at in one go: less than a millisecond of work.
const SLICE: usize = 512;

/// Looks at every connection each [`HeartbeatConfig::sweep_every`], evenly over that time; ends with the node.
pub(crate) async fn sweep(node: Weak<Node>, config: HeartbeatConfig) {
    let mut round = Instant::now();
    loop {
        let slices = match node.upgrade() {
            Some(node) => slices(&node),
            None => return,
        };
        let pause = config.sweep_every / slices;
        let mut after = None;
        for slice in 1..=slices {
            let Some(node) = node.upgrade() else { return };
            let conns = node.directory.page(after, SLICE);
            conns.iter().for_each(|conn| check(conn, &config));
            // Those that came meanwhile stand at the end, and have time until the next round.
            after = conns.last().map(|conn| conn.id).or(after);
            drop((conns, node));
            sleep_until(round + pause * slice).await;
        }
        // A round that took longer is not made up for.
        round = (round + config.sweep_every).max(Instant::now());
    }
}

/// Does what is done once a round; says in how many slices to look.
fn slices(node: &Node) -> u32 {
    let connections = node.directory.len();
    node.metrics.show(connections, node.registry.rooms());
    // Rooms of this node only have no history to tidy up.
    node.tidy();
    u32::try_from(connections.div_ceil(SLICE)).unwrap_or(u32::MAX).max(1)
}
