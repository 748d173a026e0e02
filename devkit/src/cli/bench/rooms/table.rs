//! The result: medians, and ratios within a round.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::bench::reports::{self, Reports, shown};
use crate::cli::bench::rooms::bars;
use crate::cli::bench::rooms::rows::{Kind, Row, Target};
use crate::cli::bench::rooms::run::Report;

/// All reports, by row, target and round.
#[derive(Debug)]
pub(super) struct Table {
    quick: bool,
    rounds: u32,
    pub(super) reports: Reports<Target, Report>,
}

/// A floor that lies further apart than this over the rounds tells that the machine was not ours.
const READABLE: f64 = 0.1;

// === impl Table ===

impl Table {
    pub(super) fn new(quick: bool, rounds: u32) -> Self {
        Self { quick, rounds, reports: Reports::new() }
    }

    /// Adds the report of a round.
    pub(super) fn add(&mut self, row: &Row, target: Target, round: u32, report: Report) {
        self.reports.add(row.name, target, (round, 0), report);
    }

    /// How much a target costs of another one, as a median over the rounds.
    pub(super) fn ratio(&self, row: &Row, one: Target, other: Target) -> Option<f64> {
        self.reports.paired(row.name, (one, other), cpu_each, |one, other| one / other)
    }

    /// How much it costs of what the floor costs in the row of this name.
    pub(super) fn of_floor(&self, row: &Row, one: Target, floor: &'static str) -> Option<f64> {
        let pair = ((row.name, one), (floor, Target::Floor));
        self.reports.across(pair.0, pair.1, cpu_each, |one, floor| one / floor)
    }

    /// For people.
    pub(super) fn markdown(&self, rows: &[&Row]) -> String {
        let mut text = "# `cargo dev bench ws-rooms`\n\n".to_owned();
        let spreads = self.spreads(rows);
        if spreads.iter().any(|(_, spread)| *spread > READABLE) {
            let _ = writeln!(
                text,
                "**UNREADABLE**: the floor's costs lie more than {:.0} % apart over the rounds. Something else ran on this \
                 machine; no figure below says anything.\n",
                READABLE * 100.0
            );
        }
        let look = if self.quick { " (quick: a look, not a measurement)" } else { "" };
        let _ = writeln!(
            text,
            "{} round(s){look}, servers in turns on one machine, the order reversed in every second round. Medians; \
             ratios are of neighbours within a round. Read the ratios, not the rates.",
            self.rounds
        );
        for (row, spread) in &spreads {
            let _ = writeln!(text, "- spread of the floor in `{row}`: {:.1} %", spread * 100.0);
        }
        if spreads.is_empty() {
            text.push_str(
                "- spread of the floor: not known after one round, or without it: so neither whether it can be read\n",
            );
        }
        for row in rows {
            let _ = writeln!(text, "\n## {}: {}\n", row.name, row.title);
            self.section(row, &mut text);
            for bar in bars::of(self, row) {
                let _ = writeln!(text, "- {bar}");
            }
            for most in self.reports.texts(row.name, Target::Ours, |report| report.most.as_deref()) {
                let _ = writeln!(text, "- what stops it from more: {most}");
            }
        }
        text
    }

    /// How far the floor's costs lie apart in the rows of one event under way.
    fn spreads(&self, rows: &[&Row]) -> Vec<(&'static str, f64)> {
        let single =
            rows.iter().filter(|row| matches!(row.kind, Kind::Fanout { floor } if floor == row.name));
        let of = |row: &&Row| Some((row.name, self.reports.spread(row.name, Target::Floor, cpu_each)?));
        single.filter_map(of).collect()
    }

    fn section(&self, row: &Row, text: &mut String) {
        let head = match row.kind {
            Kind::Fanout { .. } => {
                "| server | CPU µs/delivery | × floor | of that in user space | system calls/delivery | switches/delivery | deliveries/s | load's µs/delivery | peak MiB |"
            }
            Kind::Stuck => {
                "| server | CPU µs/delivery without | with stuck members | × | KiB of each in the kernel | peak MiB |"
            }
            Kind::Paced => "| server | p50 ms to the last | p99 ms | worst ms | CPU µs/delivery |",
            Kind::Connect => "| server | CPU µs each | connections/s | p50 ms | p99 ms |",
            Kind::Idle => {
                "| server | KiB/connection | MiB before | MiB after | CPU µs a second and connection |"
            }
        };
        reports::head(head, text);
        for target in row.targets.iter().copied() {
            if !self.reports.has(row.name, target) {
                continue;
            }
            let show = |figure: fn(&Report) -> Option<f64>, digits| {
                shown(self.reports.median(row.name, target, figure), digits)
            };
            let cells = match row.kind {
                Kind::Fanout { floor } => vec![
                    show(cpu_each, 2),
                    shown(self.of_floor(row, target, floor), 2),
                    show(user_each, 2),
                    show(|report| report.syscalls, 2),
                    show(switches_each, 3),
                    show(rate, 0),
                    show(own_each, 2),
                    show(peak, 1),
                ],
                Kind::Stuck => {
                    vec![
                        show(without_stuck, 2),
                        show(cpu_each, 2),
                        show(stuck_ratio, 3),
                        show(|report| Some(number(report.stuck_kib?)), 0),
                        show(peak, 1),
                    ]
                }
                Kind::Paced => vec![
                    show(|report| Some(report.latency?.p50 / 1e3), 1),
                    show(|report| Some(report.latency?.p99 / 1e3), 1),
                    show(|report| Some(report.latency?.max / 1e3), 1),
                    show(cpu_each, 2),
                ],
                Kind::Connect => vec![
                    show(cpu_each, 1),
                    show(rate, 0),
                    show(|report| Some(report.latency?.p50 / 1e3), 2),
                    show(|report| Some(report.latency?.p99 / 1e3), 2),
                ],
                Kind::Idle => vec![
                    show(idle_each, 2),
                    show(|report| Some(mib(report.resident_kib?.0)), 1),
                    show(|report| Some(mib(report.resident_kib?.1)), 1),
                    show(kept_each, 2),
                ],
            };
            let _ = writeln!(text, "| {} | {} |", target.name(), cells.join(" | "));
        }
        text.push('\n');
    }

    /// For programs: every report.
    pub(super) fn json(&self) -> Value {
        let results = self.reports.json("server", |target| target.name());
        json!({ "subject": "ws-rooms", "quick": self.quick, "rounds": self.rounds, "results": results })
    }
}

/// One report in a few words, while the rest is still to come.
pub(super) fn one(row: &Row, report: &Report) -> String {
    match row.kind {
        Kind::Fanout { .. } => format!(
            "{:>6} µs CPU  {:>7}/s  {:>5} system calls  load {:>5} µs",
            shown(cpu_each(report), 2),
            shown(rate(report), 0),
            shown(report.syscalls, 2),
            shown(own_each(report), 2),
        ),
        Kind::Stuck => {
            format!("{:>6} µs CPU  × {:>5}", shown(cpu_each(report), 2), shown(stuck_ratio(report), 3))
        }
        Kind::Paced => format!(
            "p50 {:>6} ms  p99 {:>6} ms to the last",
            shown(report.latency.map(|latency| latency.p50 / 1e3), 1),
            shown(report.latency.map(|latency| latency.p99 / 1e3), 1),
        ),
        Kind::Connect => {
            format!("{:>6} µs CPU  {:>6}/s", shown(cpu_each(report), 1), shown(rate(report), 0))
        }
        Kind::Idle => format!(
            "{:>6} KiB a connection  {:>6} µs a second",
            shown(idle_each(report), 2),
            shown(kept_each(report), 2)
        ),
    }
}

/// CPU time of a delivery or of a connection that comes, in µs.
pub(super) fn cpu_each(report: &Report) -> Option<f64> {
    Some(number(report.cpu_ns) / 1e3 / number(report.count))
}

fn user_each(report: &Report) -> Option<f64> {
    Some(cpu_each(report)? * report.user_share?)
}

fn own_each(report: &Report) -> Option<f64> {
    Some(number(report.own_cpu_ns) / 1e3 / number(report.count))
}

fn switches_each(report: &Report) -> Option<f64> {
    Some(number(report.switches) / number(report.count))
}

/// Deliveries or connections a second.
fn rate(report: &Report) -> Option<f64> {
    Some(number(report.count) / report.seconds)
}

fn without_stuck(report: &Report) -> Option<f64> {
    let (count, cpu_ns) = report.without_stuck?;
    Some(number(cpu_ns) / 1e3 / number(count))
}

/// How much a delivery costs with stuck members of what it costs without.
pub(super) fn stuck_ratio(report: &Report) -> Option<f64> {
    Some(cpu_each(report)? / without_stuck(report)?)
}

/// Resident memory at its height, in MiB.
fn peak(report: &Report) -> Option<f64> {
    Some(mib(report.peak_kib))
}

/// Resident memory of an idle connection, in KiB.
pub(super) fn idle_each(report: &Report) -> Option<f64> {
    let (before, after) = report.resident_kib?;
    Some((number(after) - number(before)) / number(report.count))
}

/// CPU time of an idle connection in a second, in µs; none unless they were kept for a while.
fn kept_each(report: &Report) -> Option<f64> {
    (report.seconds >= 1.0).then(|| number(report.cpu_ns) / 1e3 / number(report.count) / report.seconds)
}

fn mib(kib: u64) -> f64 {
    number(kib) / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "minutes in ns, and some GiB: below 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
