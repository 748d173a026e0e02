//! What we hold ourselves to.

use crate::cli::bench::event_hub::rows::{Client, Figure, Row};
use crate::cli::bench::event_hub::table::{self, Table};
use crate::cli::bench::reports::told;

/// The bars of a row, each with how it stands. Those that nothing was measured for are left out.
pub(super) fn of(table: &Table, row: &Row) -> Vec<String> {
    let hub = row.clients.iter().copied().filter(|client| client.is_ours());
    let mut bars = Vec::new();
    match row.command {
        _ if row.figure == Figure::Allocations => {}
        _ if row.figure == Figure::Truth => {
            let asked = table.sum(row, Client::Hub, |report| report.events);
            let wrong = table.sum(row, Client::Hub, table::wrong);
            if asked > 0 {
                bars.push(told(wrong == 0, &format!("hub: {wrong} wrong of {asked} (bar: none)")));
            }
        }
        "publish" => {
            for client in hub {
                bars.extend(share_of_raw(table, row, client, 0.8));
                bars.extend(cpu(table, row, client, 12.0));
                bars.extend(ahead(table, row, client));
            }
        }
        "consume" => {
            for client in hub {
                bars.extend(share_of_raw(table, row, client, 0.85));
                bars.extend(cpu(table, row, client, 15.0));
                bars.extend(ahead(table, row, client));
            }
        }
        "awaited" => {
            let more = table.paired(row, (Client::Hub, Client::Lapin), table::p50, |hub, lapin| hub - lapin);
            bars.extend(more.map(|more| {
                told(more <= 20.0, &format!("hub {more:+.0} µs beside lapin (bar: at most +20 µs)"))
            }));
        }
        "latency" => {
            let ratio = table.paired(row, (Client::Hub, Client::Lapin), table::p99, |hub, lapin| hub / lapin);
            bars.extend(ratio.map(|ratio| {
                told(ratio <= 1.1, &format!("hub {ratio:.2} of lapin's p99 (bar: at most 1.10)"))
            }));
        }
        "memory" => {
            let rate = table.median(row, Client::Hub, table::rate);
            bars.extend(
                rate.map(|rate| {
                    told(rate >= 1e6, &format!("hub {rate:.0} events/s (bar: at least 1000000)"))
                }),
            );
        }
        _ => {}
    }
    bars
}

fn share_of_raw(table: &Table, row: &Row, client: Client, least: f64) -> Option<String> {
    let ratio = table.paired(row, (client, Client::Raw), table::rate, |one, raw| one / raw)?;
    Some(told(ratio >= least, &format!("{}: {ratio:.2} of raw (bar: at least {least:.2})", client.name())))
}

fn cpu(table: &Table, row: &Row, client: Client, most: f64) -> Option<String> {
    let us = table.median(row, client, table::client_us)?;
    let name = client.name();
    Some(told(us <= most, &format!("{name}: {us:.1} µs of client CPU an event (bar: at most {most:.0})")))
}

/// Ahead of the other clients that are no half of ours.
fn ahead(table: &Table, row: &Row, client: Client) -> Vec<String> {
    let rivals = [Client::Amqprs, Client::Amqplib, Client::Pika];
    let against = |rival: Client| {
        let ratio = table.paired(row, (client, rival), table::rate, |one, other| one / other)?;
        let (name, rival) = (client.name(), rival.name());
        Some(told(ratio > 1.0, &format!("{name}: {ratio:.2} of {rival} (bar: ahead)")))
    };
    rivals.into_iter().filter_map(against).collect()
}
