//! Tests of [`Table`].

use super::*;
use crate::cli::bench::rooms::rows::ROWS;

/// 1,000 deliveries that took so many ns of CPU time each.
fn report(ns: u64) -> Report {
    let json = json!({ "count": 1000, "seconds": 0.1, "cpuNs": ns * 1000, "switches": 1000,
                       "ownCpuNs": 1, "peakKib": 1024 });
    serde_json::from_value(json).unwrap()
}

fn row(name: &str) -> &'static Row {
    ROWS.iter().find(|row| row.name == name).unwrap()
}

/// Rounds of what ours and the floor cost one by one, and ours in bursts.
fn table(rounds: &[(u64, u64, u64)]) -> String {
    let (single, burst) = (row("single-1k"), row("burst-1k"));
    let mut table = Table::new(false, u32::try_from(rounds.len()).unwrap());
    for (round, (ours, floor, ours_burst)) in (1..).zip(rounds) {
        table.add(single, Target::Ours, round, report(*ours));
        table.add(single, Target::Floor, round, report(*floor));
        table.add(burst, Target::Ours, round, report(*ours_burst));
    }
    table.markdown(&[single, burst])
}

#[test]
fn bars_are_of_the_floor_of_the_same_round() {
    let text = table(&[(9000, 8000, 1600), (9900, 8400, 2000), (9200, 8000, 1500)]);
    assert!(text.contains("met: ours 1.15 of the floor's CPU time one by one (bar: at most 1.20)"), "{text}");
    assert!(text.contains("met: ours 0.20 of the floor's CPU time one by one (bar: at most 0.20)"), "{text}");
    assert!(text.contains("| ours | 9.20 | 1.15 |") && text.contains("| ours | 1.60 | 0.20 |"), "{text}");
    assert!(!text.contains("UNREADABLE") && !text.contains("tungstenite"), "{text}");
    assert!(text.contains("spread of the floor in `single-1k`: 5.0 %"), "{text}");
}

/// A table of a busy machine must not be taken for one.
#[test]
fn a_floor_that_lies_apart_is_told_at_the_head() {
    let text = table(&[(9000, 8000, 1600), (9900, 9000, 2000)]);
    let head = text.lines().nth(2).unwrap();
    assert!(head.starts_with("**UNREADABLE**"), "{text}");
}

#[test]
fn one_round_does_not_tell_whether_it_can_be_read() {
    let text = table(&[(9800, 8000, 1700)]);
    assert!(!text.contains("UNREADABLE") && text.contains("not known after one round"), "{text}");
    assert!(text.contains("MISSED: ours 1.23 of the floor's"), "{text}");
    assert!(text.contains("MISSED: ours 0.21 of the floor's"), "{text}");
}

#[test]
fn stuck_members_are_compared_with_none() {
    let stuck = row("stuck");
    let mut table = Table::new(false, 1);
    let mut one = report(1050);
    one.without_stuck = Some((2000, 2_000_000));
    one.stuck_kib = Some(1677);
    table.add(stuck, Target::Ours, 1, one);
    let text = table.markdown(&[stuck]);
    assert!(text.contains("MISSED: ours 1.050 of the cost without stuck members"), "{text}");
    assert!(text.contains("| ours | 1.00 | 1.05 | 1.050 | 1677 | 1.0 |"), "{text}");
}

#[test]
fn an_idle_connection_is_what_memory_grew_by() {
    let idle = row("idle");
    let mut table = Table::new(false, 1);
    let mut one = report(0);
    one.resident_kib = Some((1000, 5100));
    one.most = Some("open files: 100".to_owned());
    table.add(idle, Target::Ours, 1, one);
    let text = table.markdown(&[idle]);
    assert!(text.contains("MISSED: ours 4.10 KiB a connection (bar: at most 4)"), "{text}");
    assert!(text.contains("what stops it from more: open files: 100"), "{text}");
}
