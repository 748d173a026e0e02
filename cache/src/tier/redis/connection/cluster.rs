//! A cluster: values are spread, and what counts is in one place.

use std::collections::BTreeMap;
use std::fmt;

use ::redis::cluster::{ClusterClient, ClusterClientBuilder};
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{
    MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr,
};
use ::redis::{
    Client, Cmd, ErrorKind, RedisError, RedisResult, TlsCertificates, Value, cmd, from_redis_value,
};
use futures_util::future::join_all;

use crate::config::RedisConfig;
use crate::tier::redis::call::Call;
use crate::tier::redis::connection::loading;

#[derive(Debug)]
pub(super) struct Cluster {
    client: ClusterClient,
    nodes: Vec<Client>,
}

/// Connections to all of its masters. The driver knows where what lies, and goes after what has moved.
#[derive(Clone)]
pub(super) struct Wire {
    cluster: ClusterConnection,
    /// The number that each master has given to our connection: it has another one when the driver made a new one,
    /// perhaps to another master, and told us nothing.
    connections: BTreeMap<String, u64>,
}

/// How often the driver follows a slot that moves. Each time costs a trip; whoever asks has a limit of its own.
const MOVES: u32 = 5;

/// The bounds of the driver's pauses before it asks again, in ms, while a slot is between two nodes.
const PAUSES: (u64, u64) = (5, 50);

// === impl Cluster ===

impl Cluster {
    pub(super) fn new(
        urls: &[String],
        config: &RedisConfig,
        client: impl Fn(&str) -> RedisResult<Client>,
    ) -> RedisResult<Self> {
        let nodes = urls.iter().map(|url| client(url)).collect::<RedisResult<Vec<_>>>()?;
        if nodes.is_empty() {
            return Err(RedisError::from((ErrorKind::InvalidClientConfig, "a cluster must have nodes")));
        }
        let infos = nodes.iter().map(|node| node.get_connection_info().clone());
        let mut builder = ClusterClientBuilder::new(infos)
            .connection_timeout(config.connect_timeout)
            .response_timeout(config.response_timeout)
            .retries(MOVES)
            .min_retry_wait(PAUSES.0)
            .max_retry_wait(PAUSES.1);
        if let Some(authorities) = &config.root_certificates {
            let roots = TlsCertificates { client_tls: None, root_cert: Some(authorities.clone()) };
            builder = builder.certs(roots);
        }
        Ok(Self { client: builder.build()?, nodes })
    }

    pub(super) async fn open(&self) -> RedisResult<Wire> {
        let mut wire =
            Wire { cluster: self.client.get_async_connection().await?, connections: BTreeMap::new() };
        wire.connections = wire.connections().await?;
        // The driver does without those that it cannot reach, and goes on looking for them.
        if wire.connections.len() < wire.masters().await? {
            return Err(RedisError::from((ErrorKind::Io, "a part of the cluster is not there")));
        }
        Ok(wire)
    }

    /// At random: where this one is gone, the next attempt asks another.
    pub(super) fn any(&self) -> &Client {
        &self.nodes[rand::random_range(0..self.nodes.len())]
    }
}

// === impl Wire ===

impl Wire {
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        command.query_async(&mut self.cluster.clone()).await
    }

    /// Asks the master of this name, which the command does not name.
    pub(super) async fn ask_at(&self, name: &str, command: Cmd) -> RedisResult<Value> {
        let route = Route::with_key(name, SlotAddr::Master);
        let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route));
        self.cluster.clone().route_command(command, route).await
    }

    pub(super) async fn look(&self) -> RedisResult<()> {
        if self.connections().await? == self.connections {
            return Ok(());
        }
        Err(RedisError::from((ErrorKind::Io, "a part of the cluster is another one now")))
    }

    /// In no order but this: what tells others goes out when the rest is answered.
    pub(super) async fn send(
        &self,
        load: &[&str],
        calls: &[&Call<'_>],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        // By all of them.
        let loads: Vec<_> = load.iter().map(|code| loading(code)).collect();
        join_all(loads.iter().map(|load| self.ask(load)))
            .await
            .into_iter()
            .collect::<RedisResult<Vec<_>>>()?;
        let turn = |tells: bool| {
            let calls = calls.iter().enumerate().filter(move |(_, call)| call.tells == tells);
            join_all(calls.map(|(n, call)| async move { (n, self.ask(&call.command).await) }))
        };
        let mut answers = turn(false).await;
        answers.extend(turn(true).await);
        answers.sort_unstable_by_key(|(n, _)| *n);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    async fn connections(&self) -> RedisResult<BTreeMap<String, u64>> {
        let mut id = cmd("CLIENT");
        id.arg("ID");
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        Ok(from_redis_value(self.cluster.clone().route_command(id, all).await?)?)
    }

    /// How many there are, reached or not.
    async fn masters(&self) -> RedisResult<usize> {
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
        let ranges: Vec<Vec<Value>> =
            from_redis_value(self.cluster.clone().route_command(slots, any).await?)?;
        // Of each range: where it begins, where it ends, its master.
        let masters = ranges.into_iter().filter_map(|range| range.into_iter().nth(2));
        let mut known = Vec::new();
        for master in masters {
            if !known.contains(&master) {
                known.push(master);
            }
        }
        Ok(known.len())
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("connections", &self.connections).finish_non_exhaustive()
    }
}
