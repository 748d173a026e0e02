//! The result: medians, and ratios within a round.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::bench::proxy::bars;
use crate::cli::bench::proxy::rows::{CONTROLS, Load, Row, Target};
use crate::cli::bench::proxy::run::Report;
use crate::cli::bench::reports::{self, Reports, shown};

/// All reports, by row, target and round.
#[derive(Debug)]
pub(super) struct Table {
    quick: bool,
    rounds: u32,
    pub(super) reports: Reports<Target, Report>,
}

/// Controls that lie further apart than this over the rounds tell that the machine was not ours.
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

    /// How two targets of one round compare, as a median over the rounds.
    pub(super) fn ratio(
        &self,
        row: &Row,
        one: Target,
        other: Target,
        figure: fn(&Report) -> Option<f64>,
    ) -> Option<f64> {
        self.reports.paired(row.name, (one, other), figure, |one, other| one / other)
    }

    /// For people.
    pub(super) fn markdown(&self, rows: &[&Row]) -> String {
        let mut text = "# `cargo dev bench streaming-proxy`\n\n".to_owned();
        let spreads = self.spreads(rows);
        let unreadable = spreads.iter().any(|(.., spread)| *spread > READABLE);
        if unreadable {
            let _ = writeln!(
                text,
                "**UNREADABLE**: the controls lie more than {:.0} % apart over the rounds. Something else ran on this \
                 machine; no figure below says anything.\n",
                READABLE * 100.0
            );
        }
        let look = if self.quick { " (quick: a look, not a measurement)" } else { "" };
        let _ = writeln!(
            text,
            "{} round(s){look}, proxies in turns on one machine, the order reversed in every second round. Medians; \
             ratios are of neighbours within a round. Read the ratios, not the rates.",
            self.rounds
        );
        for (row, control, spread) in &spreads {
            let _ = writeln!(text, "- spread of {control} in `{row}`: {:.1} %", spread * 100.0);
        }
        if spreads.is_empty() {
            text.push_str(
                "- spread of the controls: not known after one round, or without them: so neither whether it can be read\n",
            );
        }
        for row in rows {
            let _ = writeln!(text, "\n## {}: {}\n", row.name, row.title);
            self.section(row, &mut text);
            for bar in bars::of(self, row) {
                let _ = writeln!(text, "- {bar}");
            }
        }
        text
    }

    /// How far the controls lie apart in the rows of small answers.
    fn spreads(&self, rows: &[&Row]) -> Vec<(&'static str, &'static str, f64)> {
        let small = rows.iter().filter(|row| row.load.is_small() && row.threads == 1);
        let of = |row: &&Row| {
            let name = row.name;
            CONTROLS
                .map(|control| Some((name, control.name(), self.reports.spread(name, control, cpu_each)?)))
        };
        small.flat_map(of).flatten().collect()
    }

    fn section(&self, row: &Row, text: &mut String) {
        let head = match row.load {
            Load::Small | Load::Routes => {
                "| proxy | CPU µs/request | of that in user space | × nginx | × hyper-own | system calls/request | switches/request | requests/s | p50 ms | p99 ms | peak MiB |"
            }
            Load::Up | Load::Down => "| proxy | MB/s | × hyper-own | CPU ms/GiB | peak MiB |",
            Load::Idle => "| proxy | KiB/connection | MiB before | MiB after |",
        };
        reports::head(head, text);
        for target in row.targets.iter().copied() {
            if !self.reports.has(row.name, target) {
                continue;
            }
            let show = |figure: fn(&Report) -> Option<f64>, digits| {
                shown(self.reports.median(row.name, target, figure), digits)
            };
            let ratio = |other, figure| shown(self.ratio(row, target, other, figure), 2);
            let cells = match row.load {
                Load::Small | Load::Routes => vec![
                    show(cpu_each, 1),
                    show(user_each, 1),
                    ratio(Target::Nginx, cpu_each),
                    ratio(Target::HyperOwn, cpu_each),
                    show(|report| report.syscalls, 2),
                    show(switches_each, 2),
                    show(rate, 0),
                    show(|report| Some(report.latency?.p50 / 1e3), 2),
                    show(|report| Some(report.latency?.p99 / 1e3), 2),
                    show(peak, 1),
                ],
                Load::Up | Load::Down => vec![
                    show(throughput, 0),
                    ratio(Target::HyperOwn, throughput),
                    show(cpu_a_gib, 0),
                    show(peak, 1),
                ],
                Load::Idle => vec![
                    show(idle_each, 1),
                    show(|report| Some(mib(report.resident_kib?.0)), 1),
                    show(|report| Some(mib(report.resident_kib?.1)), 1),
                ],
            };
            let _ = writeln!(text, "| {} | {} |", target.name(), cells.join(" | "));
        }
        text.push('\n');
    }

    /// For programs: every report.
    pub(super) fn json(&self) -> Value {
        let results = self.reports.json("proxy", |target| target.name());
        json!({ "subject": "streaming-proxy", "quick": self.quick, "rounds": self.rounds, "results": results })
    }
}

/// One report in a few words, while the rest is still to come.
pub(super) fn one(row: &Row, report: &Report) -> String {
    match row.load {
        Load::Small | Load::Routes => format!(
            "{:>6} µs CPU  {:>6}/s  p99 {:>6} ms  {:>5} system calls",
            shown(cpu_each(report), 1),
            shown(rate(report), 0),
            shown(report.latency.map(|latency| latency.p99 / 1e3), 2),
            shown(report.syscalls, 2),
        ),
        Load::Up | Load::Down => {
            format!("{:>6} MB/s  peak {:>6} MiB", shown(throughput(report), 0), shown(peak(report), 1))
        }
        Load::Idle => format!("{:>6} KiB a connection", shown(idle_each(report), 1)),
    }
}

/// CPU time of an answer, in µs.
pub(super) fn cpu_each(report: &Report) -> Option<f64> {
    Some(number(report.cpu_ns?) / 1e3 / number(report.answers))
}

fn user_each(report: &Report) -> Option<f64> {
    Some(cpu_each(report)? * report.user_share?)
}

fn switches_each(report: &Report) -> Option<f64> {
    Some(number(report.switches?) / number(report.answers))
}

/// Answers a second.
pub(super) fn rate(report: &Report) -> Option<f64> {
    Some(number(report.answers) / report.seconds)
}

/// MB a second.
pub(super) fn throughput(report: &Report) -> Option<f64> {
    Some(number(report.bytes) / 1e6 / report.seconds)
}

fn cpu_a_gib(report: &Report) -> Option<f64> {
    Some(number(report.cpu_ns?) / 1e6 / number(report.bytes) * f64::from(1 << 30))
}

/// Resident memory at its height, in MiB.
pub(super) fn peak(report: &Report) -> Option<f64> {
    report.peak_kib.map(mib)
}

/// Resident memory of an idle connection, in KiB.
pub(super) fn idle_each(report: &Report) -> Option<f64> {
    let (before, after) = report.resident_kib?;
    Some((number(after) - number(before)) / number(report.answers))
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
