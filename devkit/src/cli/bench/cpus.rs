//! Which processors a server under load has, and which the load.

use crate::cli::say;
use crate::program;

/// Lists as `taskset -c` takes them; none where nothing is pinned.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Cpus {
    server: Option<String>,
    load: Option<String>,
}

// === impl Cpus ===

impl Cpus {
    /// For so many threads of the server, on this machine: the first processors are the server's, and all that stands
    /// around it shares the next one. Where there are not enough, nothing is pinned.
    pub(super) fn choose(threads: u16) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        Self::of(&parse(allowed.unwrap_or_default()), threads)
    }

    /// Says what cannot be pinned.
    pub(super) fn warn() {
        if program::find("taskset").is_none() {
            say("taskset is not installed: nothing is pinned to a processor, and the figures jump");
        } else if Self::choose(1).server.is_none() {
            say("one processor alone: server and load share it, and the figures jump");
        }
    }

    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    pub(super) fn load(&self) -> Option<&str> {
        self.load.as_deref()
    }

    fn of(allowed: &[u32], threads: u16) -> Self {
        let (server, rest) = allowed.split_at(allowed.len().min(usize::from(threads)));
        let Some(load) = rest.first() else { return Self::default() };
        let list: Vec<String> = server.iter().map(u32::to_string).collect();
        Self { server: Some(list.join(",")), load: Some(load.to_string()) }
    }
}

/// The kernel's form, as `0-3,8`.
fn parse(list: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_never_shares_a_processor_with_a_pinned_server() {
        let cpus = |list, threads| Cpus::of(&parse(list), threads);
        let pinned = |server: &str, load: &str| Cpus { server: Some(server.into()), load: Some(load.into()) };
        assert_eq!(cpus("0-1", 1), pinned("0", "1"));
        assert_eq!(cpus("\t2-3,8\n", 2), pinned("2,3", "8"));
        assert_eq!(cpus("0-1", 2), Cpus::default());
        assert_eq!(cpus("", 1), Cpus::default());
    }
}
