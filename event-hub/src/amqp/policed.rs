//! Settings by policies: what a declaration must not freeze, the management sets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::amqp::declare::Plan;
use crate::error::Error;
use crate::management::{Found, Management};
use crate::topology::definitions::object;
use crate::topology::queue::CLASSIC;
use crate::topology::{Conflict, Declared, Destination, Policy, Queue, Topology};

/// Sets the policies, and tells what is left to declare.
///
/// A queue is declared after its policy is in force: in between, a message could be lost that the policy would keep.
pub(super) async fn plan(
    management: &Management,
    vhost: &str,
    topology: &Topology,
    declared: &mut Declared,
) -> Result<Plan, Error> {
    let found = match management.read(vhost).await {
        Ok(found) => found,
        Err(error) => return blind(error, topology, declared),
    };
    let mut sight = Sight::of(topology, &found);
    for (name, text) in std::mem::take(&mut sight.odd) {
        declared.conflict(name, text);
    }
    for (policy, text) in management.set(vhost, std::mem::take(&mut sight.to_set)).await? {
        // A queue that is not there yet is not made: without its policy it would not be what was asked for.
        let queue = sight.bare.iter().find(|queue| policy.is_own(queue)).cloned();
        if let Some(queue) = queue.filter(|queue| !found.arguments.contains_key(queue)) {
            declared.conflict(queue.clone(), format!("its policy was refused, and it was not made: {text}"));
            sight.leave_out(&queue);
        } else {
            declared.conflict(policy.name, text);
        }
    }
    management.unset(vhost, &sight.to_unset).await?;
    let Sight { topology, bare, frozen, .. } = sight;
    declared.made.retain(|made| topology.find_queue(made).is_some());
    declared.frozen = frozen;
    Ok(Plan { topology, bare, seen: Some(found.imported.topology) })
}

/// Without sight nothing new is made: a declaration would freeze what a policy has to say.
fn blind(error: Error, topology: &Topology, declared: &Declared) -> Result<Plan, Error> {
    if !declared.made.is_empty() {
        return Err(error);
    }
    tracing::warn!(
        error = crate::handler::chain(&error),
        "the management is away: every queue is there and left as it is"
    );
    let mut rest = topology.resolved();
    let left: Vec<_> = rest
        .queues
        .iter()
        .map(|queue| queue.name.clone())
        .filter(|name| !crate::delay::is_own(name))
        .collect();
    rest.queues.retain(|queue| !left.contains(&queue.name));
    Ok(Plan { topology: rest, bare: BTreeSet::new(), seen: None })
}

/// What is there, beside what is wanted.
struct Sight {
    /// What is to be declared, without policies.
    topology: Topology,
    bare: BTreeSet<String>,
    frozen: BTreeSet<String>,
    /// What is in the way.
    odd: Vec<(String, String)>,
    to_set: Vec<Policy>,
    to_unset: Vec<String>,
}

// === impl Sight ===

impl Sight {
    fn of(wanted: &Topology, found: &Found) -> Self {
        let mut sight = Self {
            topology: wanted.resolved(),
            bare: BTreeSet::new(),
            frozen: BTreeSet::new(),
            odd: Vec::new(),
            to_set: wanted.policies.clone(),
            to_unset: Vec::new(),
        };
        let above = wanted.policies.iter().map(|policy| policy.priority).max().unwrap_or_default();
        for queue in sight.topology.queues.clone() {
            // The delays' times are what they are: another time is another queue.
            if !crate::delay::is_own(&queue.name) {
                sight.look(&queue, found.arguments.get(&queue.name), above);
            }
        }
        let mut policies: BTreeMap<_, _> =
            found.imported.topology.policies.iter().map(|policy| (&policy.name, policy)).collect();
        let wanted = std::mem::take(&mut sight.to_set);
        sight.to_unset.retain(|name| policies.contains_key(name));
        sight.to_set =
            wanted.iter().filter(|policy| policies.get(&policy.name) != Some(policy)).cloned().collect();
        policies.extend(wanted.iter().map(|policy| (&policy.name, policy)));
        sight.outranked(policies.into_values().cloned().collect());
        sight
    }

    fn look(&mut self, queue: &Queue, there: Option<&Value>, above: i64) {
        let is = |arguments| there.is_some_and(|there| same(there, &object(&arguments)));
        if there.is_none() || is(queue.frozen_arguments()) {
            let policy = Policy::own(&queue.name, queue.settings(), above);
            if policy.definition.is_empty() {
                self.to_unset.push(policy.name);
            } else {
                self.to_set.push(policy);
            }
            self.bare.insert(queue.name.clone());
            return;
        }
        self.frozen.insert(queue.name.clone());
        if !is(queue.arguments()) {
            let there = there.map(Value::to_string).unwrap_or_default();
            let text = format!("it was made with the arguments {there}, which no policy can change");
            self.odd.push((queue.name.clone(), text));
            self.leave_alone(&queue.name);
        }
    }

    /// A policy of someone else's that wins takes everything: the queue has none of its settings then.
    fn outranked(&mut self, policies: Vec<Policy>) {
        let all = Topology { policies, ..Topology::default() };
        let policies = crate::topology::Policies::of(&all);
        for queue in self.topology.queues.iter().filter(|queue| self.bare.contains(&queue.name)) {
            if let Some(best) = policies.for_queue(queue).filter(|best| !best.is_own(&queue.name)) {
                let text = format!("policy {:?} of priority {} wins over its own", best.name, best.priority);
                self.odd.push((queue.name.clone(), text));
            }
        }
    }

    /// Not declared; what leads into it is.
    fn leave_alone(&mut self, queue: &str) {
        self.topology.queues.retain(|known| known.name != queue);
        self.bare.remove(queue);
    }

    /// Not declared, and nothing leads into it.
    fn leave_out(&mut self, queue: &str) {
        self.leave_alone(queue);
        let into = |to: &Destination| matches!(to, Destination::Queue(name) if name == queue);
        self.topology.bindings.retain(|binding| !into(&binding.destination));
    }
}

impl Declared {
    fn conflict(&mut self, name: String, text: String) {
        tracing::error!(name, text, "not as declared: left alone");
        self.conflicts.push(Conflict { name, text });
    }
}

/// A queue that was declared without a type is a classic one, to the broker too; no arguments are `{}` or `[]`.
fn same(there: &Value, wanted: &Value) -> bool {
    let said = |value: &Value| {
        let mut said = value.as_object().cloned().unwrap_or_default();
        said.retain(|name, value| name != "x-queue-type" || value != CLASSIC);
        said
    };
    said(there) == said(wanted)
}
