//! The result: medians, and ratios within a round.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::bench::event_hub::bars;
use crate::cli::bench::event_hub::rows::{Client, Figure, Row};
use crate::cli::bench::event_hub::run::Report;
use crate::cli::bench::reports::{self, Reports, shown};

/// All reports, by row, client and turn.
#[derive(Debug)]
pub(super) struct Table {
    quick: bool,
    rounds: u32,
    reports: Reports<Client, Report>,
}

// === impl Table ===

impl Table {
    pub(super) fn new(quick: bool, rounds: u32) -> Self {
        Self { quick, rounds, reports: Reports::new() }
    }

    /// Adds the report of a round's turn.
    pub(super) fn add(&mut self, row: &Row, client: Client, turn: (u32, u32), report: Report) {
        self.reports.add(row.name, client, turn, report);
    }

    /// The median of what a client's reports of a row say; none without reports.
    pub(super) fn median(
        &self,
        row: &Row,
        client: Client,
        figure: fn(&Report) -> Option<f64>,
    ) -> Option<f64> {
        self.reports.median(row.name, client, figure)
    }

    /// The median of what two clients' reports of one turn say together.
    pub(super) fn paired(
        &self,
        row: &Row,
        clients: (Client, Client),
        figure: fn(&Report) -> Option<f64>,
        compare: fn(f64, f64) -> f64,
    ) -> Option<f64> {
        self.reports.paired(row.name, clients, figure, compare)
    }

    /// The sum over a client's reports of a row.
    pub(super) fn sum(&self, row: &Row, client: Client, count: fn(&Report) -> u64) -> u64 {
        self.reports.sum(row.name, client, count)
    }

    /// For people.
    pub(super) fn markdown(&self, rows: &[&Row]) -> String {
        let mut text = "# `cargo dev bench event-hub`\n\n".to_owned();
        let look = if self.quick { " (quick: a look, not a measurement)" } else { "" };
        let _ = writeln!(
            text,
            "{} round(s){look}, clients in turns on one broker and one machine. Medians; ratios are of \
             neighbours within a round. Read the ratios, not the rates.",
            self.rounds
        );
        for row in rows {
            let _ = writeln!(text, "\n## {}: {}\n", row.name, row.title);
            self.section(row, &mut text);
            for bar in bars::of(self, row) {
                let _ = writeln!(text, "- {bar}");
            }
        }
        text
    }

    fn section(&self, row: &Row, text: &mut String) {
        let head = match row.figure {
            Figure::Throughput if row.queue.is_none() => "| client | events/s | client CPU µs |",
            Figure::Throughput => "| client | events/s | × raw | client CPU µs | broker CPU µs |",
            Figure::Call => "| client | p50 µs | p95 µs | p99 µs | p50 − lapin's | client CPU µs |",
            Figure::Latency => "| client | p50 ms | p95 ms | p99 ms | p99 × lapin's | client CPU µs |",
            Figure::Allocations => "| client | allocations/event | bytes/event |",
            Figure::Truth => {
                "| client | asked in all | falsely accepted | falsely refused | wrong reason | no answer | rounds too early |"
            }
        };
        reports::head(head, text);
        for client in row.clients.iter().copied() {
            if !self.reports.has(row.name, client) {
                continue;
            }
            let show = |figure, digits| shown(self.median(row, client, figure), digits);
            let cells = match row.figure {
                Figure::Throughput if row.queue.is_none() => vec![show(rate, 0), show(client_us, 1)],
                Figure::Throughput => {
                    let ratio = self.paired(row, (client, Client::Raw), rate, |one, other| one / other);
                    vec![show(rate, 0), shown(ratio, 2), show(client_us, 1), show(broker_us, 0)]
                }
                Figure::Call => {
                    let more = self.paired(row, (client, Client::Lapin), p50, |one, other| one - other);
                    vec![show(p50, 0), show(p95, 0), show(p99, 0), shown(more, 0), show(client_us, 0)]
                }
                Figure::Latency => {
                    let ratio = self.paired(row, (client, Client::Lapin), p99, |one, other| one / other);
                    let ms = |figure| shown(self.median(row, client, figure).map(|us| us / 1e3), 2);
                    vec![ms(p50), ms(p95), ms(p99), shown(ratio, 2), show(client_us, 0)]
                }
                Figure::Allocations => vec![show(allocations, 1), show(bytes, 0)],
                Figure::Truth => {
                    let sum = |count: fn(&Report) -> u64| self.sum(row, client, count).to_string();
                    vec![
                        sum(|report| report.events),
                        sum(|report| report.wrong.unwrap_or_default().falsely_accepted),
                        sum(|report| report.wrong.unwrap_or_default().falsely_refused),
                        sum(|report| report.wrong.unwrap_or_default().misnamed),
                        sum(|report| report.wrong.unwrap_or_default().unanswered),
                        sum(|report| report.early.unwrap_or_default()),
                    ]
                }
            };
            let _ = writeln!(text, "| {} | {} |", client.name(), cells.join(" | "));
        }
        text.push('\n');
    }

    /// For programs: every report.
    pub(super) fn json(&self) -> Value {
        let results = self.reports.json("client", |client| client.name());
        json!({ "subject": "event-hub", "quick": self.quick, "rounds": self.rounds, "results": results })
    }
}

/// One report in a few words, while the rest is still to come.
pub(super) fn one(row: &Row, report: &Report) -> String {
    let show = |figure: fn(&Report) -> Option<f64>, digits| shown(figure(report), digits);
    match row.figure {
        Figure::Throughput => format!("{:>9}/s  {:>6} µs CPU", show(rate, 0), show(client_us, 1)),
        Figure::Call | Figure::Latency => format!("p50 {:>6} µs  p99 {:>6} µs", show(p50, 0), show(p99, 0)),
        Figure::Allocations => format!("{:>9} allocations/event", show(allocations, 1)),
        Figure::Truth => match report.early {
            Some(early) => format!("{early:>9} of {} too early", report.events),
            None => format!("{:>9} wrong of {}", wrong(report), report.events),
        },
    }
}

#[expect(clippy::cast_precision_loss, reason = "some ten thousand events")]
pub(super) fn rate(report: &Report) -> Option<f64> {
    Some(report.events as f64 / report.seconds)
}

pub(super) fn client_us(report: &Report) -> Option<f64> {
    Some(per_event(report, report.client_us))
}

pub(super) fn broker_us(report: &Report) -> Option<f64> {
    Some(per_event(report, report.broker_us?))
}

pub(super) fn p50(report: &Report) -> Option<f64> {
    Some(report.latency?.p50)
}

pub(super) fn p95(report: &Report) -> Option<f64> {
    Some(report.latency?.p95)
}

pub(super) fn p99(report: &Report) -> Option<f64> {
    Some(report.latency?.p99)
}

pub(super) fn allocations(report: &Report) -> Option<f64> {
    Some(per_event(report, report.allocations?.0))
}

pub(super) fn bytes(report: &Report) -> Option<f64> {
    Some(per_event(report, report.allocations?.1))
}

/// Answers that were not true, of any kind.
pub(super) fn wrong(report: &Report) -> u64 {
    let Some(wrong) = report.wrong else { return 0 };
    wrong.falsely_accepted + wrong.falsely_refused + wrong.misnamed + wrong.unanswered
}

#[expect(clippy::cast_precision_loss, reason = "minutes of CPU time, in µs")]
fn per_event(report: &Report, amount: u64) -> f64 {
    amount as f64 / report.events as f64
}

#[cfg(test)]
mod tests;
