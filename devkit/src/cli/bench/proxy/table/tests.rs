//! Tests of [`Table`].

use super::*;
use crate::cli::bench::proxy::rows::ROWS;

/// 1,000 answers that took so many µs of CPU time each.
fn report(us: u64) -> Report {
    let json = json!({ "answers": 1000, "bytes": 1_024_000, "seconds": 0.1, "cpuNs": us * 1_000_000 });
    serde_json::from_value(json).unwrap()
}

fn table(rounds: &[(u64, u64, u64)]) -> String {
    let row = &ROWS[0];
    let mut table = Table::new(false, u32::try_from(rounds.len()).unwrap());
    for (round, (ours, hyper, nginx)) in (1..).zip(rounds) {
        for (target, us) in [(Target::Ours, ours), (Target::HyperOwn, hyper), (Target::Nginx, nginx)] {
            table.add(row, target, round, report(*us));
        }
    }
    table.markdown(&[row])
}

#[test]
fn bars_are_of_neighbours() {
    let text = table(&[(36, 30, 28), (33, 31, 29), (31, 30, 28)]);
    assert!(text.contains("met: ours 1.06 of hyper-own's CPU time (bar: at most 1.10)"), "{text}");
    assert!(text.contains("| ours | 33.0 | – | 1.14 | 1.06 |"), "{text}");
    assert!(!text.contains("UNREADABLE") && !text.contains("pingora"), "{text}");
    assert!(text.contains("spread of nginx in `h1-1k`: 3.6 %"), "{text}");
}

/// A table of a busy machine must not be taken for one.
#[test]
fn controls_that_lie_apart_are_told_at_the_head() {
    let text = table(&[(36, 30, 28), (33, 31, 31)]);
    let head = text.lines().nth(2).unwrap();
    assert!(head.starts_with("**UNREADABLE**"), "{text}");
}

#[test]
fn one_round_does_not_tell_whether_it_can_be_read() {
    let text = table(&[(36, 30, 28)]);
    assert!(!text.contains("UNREADABLE") && text.contains("not known after one round"), "{text}");
    assert!(text.contains("MISSED: ours 1.20 of hyper-own's CPU time"), "{text}");
}
