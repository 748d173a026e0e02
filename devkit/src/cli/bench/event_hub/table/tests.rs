//! Tests of [`Table`].

use super::*;
use crate::cli::bench::event_hub::rows::ROWS;

fn report(rate: f64) -> Report {
    let json = json!({ "events": 1000, "seconds": 1000.0 / rate, "clientUs": 5000 });
    serde_json::from_value(json).unwrap()
}

/// Ratios are of neighbours: a machine that slows down for everybody changes none of them, while the ratio
/// of the medians would tell of the machine.
#[test]
fn ratios_are_of_neighbours() {
    let row = &ROWS[0];
    let mut table = Table::new(false, 3);
    for (round, mood) in [(1, 1.0), (2, 0.1), (3, 0.5)] {
        table.add(row, Client::Hub, (round, 0), report(900.0 * mood));
        if round != 2 {
            table.add(row, Client::Raw, (round, 0), report(1000.0 * mood));
        }
    }
    let ratio = table.paired(row, (Client::Hub, Client::Raw), rate, |one, other| one / other);
    assert!((ratio.unwrap() - 0.9).abs() < 1e-9, "{ratio:?}");
    assert!((table.median(row, Client::Hub, rate).unwrap() - 450.0).abs() < 1e-6);
    assert_eq!(table.median(row, Client::Pika, rate), None);
    let text = table.markdown(&[row]);
    assert!(text.contains("| hub | 450 | 0.90 | 5.0 | – |"), "{text}");
    assert!(text.contains("met: hub: 0.90 of raw (bar: at least 0.80)"), "{text}");
    assert!(!text.contains("pika"), "who did not run is not in the table: {text}");
}
