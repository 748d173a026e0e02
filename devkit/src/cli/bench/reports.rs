//! What the tables share: reports by row and contestant, their medians, and ratios within a round.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

/// All reports, by row, contestant and turn.
#[derive(Debug)]
pub(super) struct Reports<C, R>(BTreeMap<(&'static str, C), Turns<R>>);

/// Reports by round and turn.
type Turns<R> = BTreeMap<(u32, u32), R>;

// === impl Reports ===

impl<C: Copy + Ord, R> Reports<C, R> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds the report of a round's turn.
    pub(super) fn add(&mut self, row: &'static str, one: C, turn: (u32, u32), report: R) {
        self.0.entry((row, one)).or_default().insert(turn, report);
    }

    /// Whether there is any.
    pub(super) fn has(&self, row: &'static str, one: C) -> bool {
        self.0.contains_key(&(row, one))
    }

    /// The median of what a contestant's reports of a row say; none without reports.
    pub(super) fn median(
        &self,
        row: &'static str,
        one: C,
        figure: impl Fn(&R) -> Option<f64>,
    ) -> Option<f64> {
        median(self.values(row, one, figure).collect())
    }

    /// The median of what two contestants' reports of one turn say together. The machine's mood changes from
    /// minute to minute, so only neighbours are compared.
    pub(super) fn paired(
        &self,
        row: &'static str,
        (one, other): (C, C),
        figure: impl Fn(&R) -> Option<f64>,
        compare: impl Fn(f64, f64) -> f64,
    ) -> Option<f64> {
        self.across((row, one), (row, other), figure, compare)
    }

    /// The same for two rows: their reports of one round.
    pub(super) fn across(
        &self,
        one: (&'static str, C),
        other: (&'static str, C),
        figure: impl Fn(&R) -> Option<f64>,
        compare: impl Fn(f64, f64) -> f64,
    ) -> Option<f64> {
        let others = self.0.get(&other)?;
        let pairs = self
            .0
            .get(&one)?
            .iter()
            .filter_map(|(turn, report)| Some(compare(figure(report)?, figure(others.get(turn)?)?)));
        median(pairs.collect())
    }

    /// The sum over a contestant's reports of a row.
    pub(super) fn sum(&self, row: &'static str, one: C, count: impl Fn(&R) -> u64) -> u64 {
        self.0.get(&(row, one)).into_iter().flat_map(BTreeMap::values).map(count).sum()
    }

    /// How far a contestant's reports of a row lie apart: 0.1 when the highest is a tenth above the lowest. None
    /// with less than two.
    pub(super) fn spread(
        &self,
        row: &'static str,
        one: C,
        figure: impl Fn(&R) -> Option<f64>,
    ) -> Option<f64> {
        let values: Vec<f64> = self.values(row, one, figure).collect();
        let highest = values.iter().copied().max_by(f64::total_cmp)?;
        let lowest = values.iter().copied().min_by(f64::total_cmp)?;
        (values.len() > 1).then_some(highest / lowest - 1.0)
    }

    /// What a contestant's reports of a row say in words, each once.
    pub(super) fn texts<'a>(
        &'a self,
        row: &'static str,
        one: C,
        text: impl Fn(&'a R) -> Option<&'a str>,
    ) -> BTreeSet<&'a str> {
        self.0.get(&(row, one)).into_iter().flat_map(BTreeMap::values).filter_map(text).collect()
    }

    fn values<'a>(
        &'a self,
        row: &'static str,
        one: C,
        figure: impl Fn(&R) -> Option<f64> + 'a,
    ) -> impl Iterator<Item = f64> + 'a {
        self.0.get(&(row, one)).into_iter().flat_map(BTreeMap::values).filter_map(figure)
    }
}

impl<C, R: Serialize> Reports<C, R> {
    /// For programs: every report.
    pub(super) fn json(&self, contestant: &str, name: impl Fn(&C) -> &'static str) -> Vec<Value> {
        let one = |((row, one), reports): (&(&'static str, C), &Turns<R>)| {
            let reports: Vec<Value> = reports
                .iter()
                .map(|((round, turn), report)| json!({ "round": round, "turn": turn, "report": report }))
                .collect();
            json!({ "row": row, contestant: name(one), "runs": reports })
        };
        self.0.iter().map(one).collect()
    }
}

/// The head of a Markdown table, given as its first line.
pub(super) fn head(head: &str, text: &mut String) {
    let columns = head.matches('|').count() - 1;
    let _ = writeln!(text, "{head}\n|{}", "---|".repeat(columns));
}

/// A figure in a cell.
pub(super) fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// How a bar stands.
pub(super) fn told(met: bool, what: &str) -> String {
    format!("{}: {what}", if met { "met" } else { "MISSED" })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_spread_needs_two() {
        let mut reports = Reports::new();
        reports.add("row", "nginx", (1, 0), 10.0);
        assert_eq!(reports.spread("row", "nginx", |one| Some(*one)), None);
        reports.add("row", "nginx", (2, 0), 12.0);
        reports.add("row", "nginx", (3, 0), 11.0);
        assert!((reports.spread("row", "nginx", |one| Some(*one)).unwrap() - 0.2).abs() < 1e-9);
        assert_eq!(reports.spread("row", "haproxy", |one| Some(*one)), None);
    }
}
