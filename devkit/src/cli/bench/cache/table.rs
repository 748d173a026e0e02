//! The result: medians, and ratios within a round.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::bench::cache::rows::{Bar, Beside, Bound, Client, Row};
use crate::cli::bench::cache::run::Report;
use crate::cli::bench::reports::{self, Reports, shown, told};

/// All reports, by row, client and round.
#[derive(Debug)]
pub(super) struct Table {
    quick: bool,
    rounds: u32,
    reports: Reports<Client, Report>,
}

/// A reference that lies further apart than this over the rounds tells that the machine was not ours.
const READABLE: f64 = 0.15;

// === impl Table ===

impl Table {
    pub(super) fn new(quick: bool, rounds: u32) -> Self {
        Self { quick, rounds, reports: Reports::new() }
    }

    /// Adds the report of a round.
    pub(super) fn add(&mut self, row: &Row, client: Client, round: u32, report: Report) {
        self.reports.add(row.name, client, (round, 0), report);
    }

    /// For people.
    pub(super) fn markdown(&self, rows: &[&Row]) -> String {
        let mut text = "# `cargo dev bench cache`\n\n".to_owned();
        let look = if self.quick { " (quick: a look, not a measurement)" } else { "" };
        let _ = writeln!(
            text,
            "{} round(s){look}, clients in turns on one machine, the order reversed in every second round. Medians; ratios \
             are of neighbours within a round. Read the ratios, not the rates.",
            self.rounds
        );
        for row in rows {
            let _ = writeln!(text, "\n## {}: {}\n", row.name, row.title);
            if let Some(spread) = self.spread(row) {
                let verdict = if spread > READABLE { "**UNREADABLE**, something else ran: " } else { "" };
                let _ = writeln!(text, "{verdict}spread of the reference {:.0} %\n", spread * 100.0);
            }
            self.section(row, &mut text);
            for bar in row.bars {
                let _ = self.bar(row, bar).map(|told| writeln!(text, "- {told}"));
            }
        }
        text
    }

    fn spread(&self, row: &Row) -> Option<f64> {
        let (client, figure) = row.reference?;
        self.reports.spread(row.name, client, named(figure))
    }

    fn section(&self, row: &Row, text: &mut String) {
        let heads = row.columns.iter().map(|(_, head)| *head);
        reports::head(&format!("| client | {} |", heads.collect::<Vec<_>>().join(" | ")), text);
        for client in row.clients.iter().copied().filter(|client| self.reports.has(row.name, *client)) {
            let cells = row
                .columns
                .iter()
                .map(|(figure, _)| figured(self.reports.median(row.name, client, named(figure))));
            let _ = writeln!(text, "| {} | {} |", client.name(), cells.collect::<Vec<_>>().join(" | "));
        }
        text.push('\n');
    }

    /// How a bar stands; none when nothing was measured for it.
    fn bar(&self, row: &Row, bar: &Bar) -> Option<String> {
        let ours = named(bar.figure);
        let beside = |other, compare: fn(f64, f64) -> f64| {
            self.reports.paired(row.name, (Client::Ours, other), ours, compare)
        };
        let value = match bar.beside {
            Beside::Nothing => self.reports.median(row.name, Client::Ours, ours),
            Beside::Client(other) => beside(other, |one, other| one / other),
            Beside::Over(other) => beside(other, |one, other| one - other),
            Beside::Own(other) => {
                let ratio = |report: &Report| Some(report.get(bar.figure)? / report.get(other)?);
                self.reports.median(row.name, Client::Ours, ratio)
            }
        }?;
        let (met, bound) = match bar.bound {
            Bound::Most(most) => (value <= most, format!("at most {}", figured(Some(most)))),
            Bound::Least(least) => (value >= least, format!("at least {}", figured(Some(least)))),
        };
        Some(told(met, &format!("ours {} {} (bar: {bound})", figured(Some(value)), bar.words)))
    }

    /// For programs: every report.
    pub(super) fn json(&self) -> Value {
        let results = self.reports.json("client", |client| client.name());
        json!({ "subject": "cache", "quick": self.quick, "rounds": self.rounds, "results": results })
    }
}

/// One report in a few words, while the rest is still to come.
pub(super) fn one(row: &Row, report: &Report) -> String {
    let words =
        row.columns.iter().map(|(figure, head)| format!("{head} {}", figured(report.get(*figure).copied())));
    words.collect::<Vec<_>>().join("  ")
}

fn named(figure: &str) -> impl Fn(&Report) -> Option<f64> + Copy {
    move |report| report.get(figure).copied()
}

/// As many digits as say something.
fn figured(value: Option<f64>) -> String {
    let digits = match value.map(f64::abs) {
        Some(value) if value >= 1000.0 => 0,
        Some(value) if value >= 10.0 => 1,
        Some(value) if value >= 0.01 || value == 0.0 => 2,
        _ => 4,
    };
    shown(value, digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::cache::rows::ROWS;

    fn table(ours: f64, quick_cache: [f64; 2]) -> Table {
        let report = |ns| Report::from([("ns".to_owned(), ns)]);
        let mut table = Table::new(false, 2);
        for (round, other) in (1..).zip(quick_cache) {
            table.add(&ROWS[0], Client::Ours, round, report(ours));
            table.add(&ROWS[0], Client::QuickCache, round, report(other));
        }
        table
    }

    #[test]
    fn a_bar_tells_whether_it_is_met() {
        let text = table(125.0, [100.0, 100.0]).markdown(&[&ROWS[0]]);
        assert!(text.contains("met: ours 1.25 a hit of quick_cache's (bar: at most 1.30)"), "{text}");
        assert!(!text.contains("amalgam's ("), "a bar without figures: {text}");
        let text = table(140.0, [100.0, 100.0]).markdown(&[&ROWS[0]]);
        assert!(text.contains("MISSED: ours 1.40"), "{text}");
    }

    #[test]
    fn a_reference_that_jumps_makes_its_row_unreadable() {
        assert!(!table(1.0, [100.0, 110.0]).markdown(&[&ROWS[0]]).contains("UNREADABLE"));
        assert!(table(1.0, [100.0, 120.0]).markdown(&[&ROWS[0]]).contains("UNREADABLE"));
    }

    #[test]
    fn all_rows_show_what_their_bars_are_about() {
        for row in ROWS {
            for bar in row.bars {
                assert!(row.columns.iter().any(|(figure, _)| *figure == bar.figure), "{}", row.name);
            }
        }
    }
}
