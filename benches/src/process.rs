//! What `/proc` tells of a process and those below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, ensure};

/// What all processes of a tree have used so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Nanoseconds on a processor, by task. The kernel's own count, not the ticks of `/proc/PID/stat`.
    tasks: BTreeMap<u32, Task>,
    /// Ticks in user space, and in the kernel: only good for their ratio.
    ticks: (u64, u64),
}

#[derive(Clone, Copy, Debug, Default)]
struct Task {
    cpu_ns: u64,
    switches: u64,
}

/// What was used between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) cpu_ns: u64,
    pub(crate) switches: u64,
    /// How much of the time was in user space, from 0 to 1; none when there were no ticks.
    pub(crate) user_share: Option<f64>,
}

/// The process and all below it.
///
/// # Errors
///
/// If there is no such process.
pub(crate) fn tree(root: u32) -> anyhow::Result<BTreeSet<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(fields) = stat(id) else { continue };
        parents.push((id, number(&fields, PARENT)?));
    }
    ensure!(parents.iter().any(|(id, _)| *id == root), "process {root} is gone");
    let mut found = BTreeSet::from([root]);
    loop {
        let below = parents.iter().filter(|(_, parent)| found.contains(&u32::try_from(*parent).unwrap_or(0)));
        let below: Vec<u32> = below.map(|(id, _)| *id).filter(|id| !found.contains(id)).collect();
        if below.is_empty() {
            return Ok(found);
        }
        found.extend(below);
    }
}

/// The resident memory of a tree, in KiB: `VmRSS` now, `VmHWM` at its height.
///
/// # Errors
///
/// If there is no such process.
pub(crate) fn memory(root: u32, field: &str) -> anyhow::Result<u64> {
    let mut sum = 0;
    for id in tree(root)? {
        let status = fs::read_to_string(format!("/proc/{id}/status")).context("a process ended")?;
        sum += status_field(&status, field)?;
    }
    Ok(sum)
}

// === impl Usage ===

impl Usage {
    /// Looks at a tree.
    ///
    /// # Errors
    ///
    /// If there is no such process.
    pub(crate) fn of(root: u32) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        for id in tree(root)? {
            let fields = stat(id)?;
            usage.ticks.0 += number(&fields, USER)?;
            usage.ticks.1 += number(&fields, SYSTEM)?;
            for task in fs::read_dir(format!("/proc/{id}/task"))?.flatten() {
                let Some(name) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                // It may have ended meanwhile.
                let Ok(schedstat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
                let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
                let cpu_ns =
                    schedstat.split_ascii_whitespace().next().context("an empty schedstat")?.parse()?;
                let switches = status_field(&status, "voluntary_ctxt_switches")?
                    + status_field(&status, "nonvoluntary_ctxt_switches")?;
                usage.tasks.insert(name, Task { cpu_ns, switches });
            }
        }
        Ok(usage)
    }

    /// What was used since `before`. A task that ended meanwhile is lost, so those who start and end tasks all the
    /// time look better than they are.
    pub(crate) fn since(&self, before: &Self) -> Used {
        let mut used = Used { cpu_ns: 0, switches: 0, user_share: None };
        for (name, now) in &self.tasks {
            let then = before.tasks.get(name).copied().unwrap_or_default();
            used.cpu_ns += now.cpu_ns.saturating_sub(then.cpu_ns);
            used.switches += now.switches.saturating_sub(then.switches);
        }
        let user = self.ticks.0.saturating_sub(before.ticks.0);
        let all = user + self.ticks.1.saturating_sub(before.ticks.1);
        #[expect(clippy::cast_precision_loss, reason = "ticks of some minutes")]
        if all > 0 {
            used.user_share = Some(user as f64 / all as f64);
        }
        used
    }
}

/// Fields of `/proc/PID/stat`, counted from the one after the name.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;

fn stat(id: u32) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).context("a process ended")?;
    // The second field, the name, is in brackets and may hold anything.
    let (_, fields) = text.rsplit_once(')').context("no stat line")?;
    Ok(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

fn number(fields: &[String], at: usize) -> anyhow::Result<u64> {
    fields.get(at).context("a short stat line")?.parse().context("a stat line without numbers")
}

fn status_field(status: &str, name: &str) -> anyhow::Result<u64> {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(field, _)| *field == name).with_context(|| format!("no {name}"))?;
    value.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let own = std::process::id();
        assert!(tree(own).unwrap().contains(&own));
        assert!(memory(own, "VmHWM").unwrap() >= memory(own, "VmRSS").unwrap() / 2);
        let before = Usage::of(own).unwrap();
        let mut sum = 0_u64;
        // Work until the clock of the scheduler has seen it.
        while Usage::of(own).unwrap().since(&before).cpu_ns == 0 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
