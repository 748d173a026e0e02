//! What we hold ourselves to.

use crate::cli::bench::proxy::rows::{Load, Row, Target};
use crate::cli::bench::proxy::table::{self, Table};
use crate::cli::bench::reports::told;

/// The bars of a row, each with how it stands. Those that nothing was measured for are left out.
pub(super) fn of(table: &Table, row: &Row) -> Vec<String> {
    let bars = match (row.load, row.threads) {
        // Nobody has told what TLS may cost: the ratios stand in the table.
        (Load::Small, _) if row.front.is_tls() => Vec::new(),
        (Load::Small, _) if row.front.is_http2() => {
            vec![cpu(table, row, (Target::Ours, Target::Haproxy), 1.2)]
        }
        (Load::Small, 1) => {
            [Target::Ours, Target::OursFull].into_iter().flat_map(|one| small(table, row, one)).collect()
        }
        (Load::Small, _) => vec![table.ratio(row, Target::Ours, Target::Nginx, table::rate).map(|ratio| {
            told(ratio >= 0.8, &format!("ours {ratio:.2} of nginx's requests a second (bar: at least 0.80)"))
        })],
        (Load::Routes, _) => {
            vec![cpu(table, row, (Target::OursTenThousand, Target::OursFull), 1.03)]
        }
        (Load::Up | Load::Down, _) => {
            let ratio = table.ratio(row, Target::Ours, Target::HyperOwn, table::throughput);
            let peak = table.reports.median(row.name, Target::Ours, table::peak);
            vec![
                ratio.map(|ratio| {
                    told(ratio >= 0.95, &format!("ours {ratio:.2} of hyper-own's rate (bar: at least 0.95)"))
                }),
                peak.map(|peak| {
                    told(peak <= 12.0, &format!("ours {peak:.1} MiB at the height (bar: at most 12)"))
                }),
            ]
        }
        (Load::Idle, _) => {
            let each = table.reports.median(row.name, Target::Ours, table::idle_each);
            vec![each.map(|each| {
                told(each <= 12.0, &format!("ours {each:.1} KiB a connection (bar: at most 12)"))
            })]
        }
    };
    bars.into_iter().flatten().collect()
}

/// What one of ours may cost for a small answer.
fn small(table: &Table, row: &Row, one: Target) -> [Option<String>; 4] {
    let syscalls = table.reports.median(row.name, one, |report| report.syscalls);
    let name = one.name();
    [
        cpu(table, row, (one, Target::HyperOwn), 1.1),
        cpu(table, row, (one, Target::Pingora), 0.5),
        cpu(table, row, (one, Target::AxumReverseProxy), 0.6),
        syscalls.map(|count| {
            told(count <= 4.5, &format!("{name} {count:.2} system calls a request (bar: at most 4.50)"))
        }),
    ]
}

fn cpu(table: &Table, row: &Row, (one, rival): (Target, Target), most: f64) -> Option<String> {
    let ratio = table.ratio(row, one, rival, table::cpu_each)?;
    let (name, rival) = (one.name(), rival.name());
    Some(told(ratio <= most, &format!("{name} {ratio:.2} of {rival}'s CPU time (bar: at most {most:.2})")))
}
