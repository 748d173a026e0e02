//! What we hold ourselves to.

use crate::cli::bench::reports::told;
use crate::cli::bench::rooms::rows::{Kind, Row, Target};
use crate::cli::bench::rooms::table::{self, Table};

/// The bars of a row, each with how it stands. Those that nothing was measured for are left out.
pub(super) fn of(table: &Table, row: &Row) -> Vec<String> {
    match row.kind {
        // Nobody has told what pairs may cost: the ratios stand in the table.
        Kind::Fanout { .. } if row.name == "pairs" => Vec::new(),
        Kind::Fanout { floor } => fanout(table, row, floor),
        Kind::Stuck => {
            let more = table.reports.median(row.name, Target::Ours, table::stuck_ratio);
            let bar = more.map(|more| {
                told(
                    more < 1.05,
                    &format!("ours {more:.3} of the cost without stuck members (bar: below 1.05)"),
                )
            });
            bar.into_iter().collect()
        }
        Kind::Idle => {
            let each = table.reports.median(row.name, Target::Ours, table::idle_each);
            let bar = each
                .map(|each| told(each <= 4.0, &format!("ours {each:.2} KiB a connection (bar: at most 4)")));
            bar.into_iter().collect()
        }
        Kind::Paced | Kind::Connect => Vec::new(),
    }
}

fn fanout(table: &Table, row: &Row, floor: &'static str) -> Vec<String> {
    let single = row.name == floor;
    let most = if single { 1.2 } else { 0.2 };
    let of_floor = table.of_floor(row, Target::Ours, floor).map(|ratio| {
        told(
            ratio <= most,
            &format!("ours {ratio:.2} of the floor's CPU time one by one (bar: at most {most:.2})"),
        )
    });
    let of_bun = table.ratio(row, Target::Ours, Target::Bun).filter(|_| single).map(|ratio| {
        told(ratio <= 1.2, &format!("ours {ratio:.2} of uWebSockets' CPU time (bar: at most 1.20)"))
    });
    let beside = |rival: Target| {
        let ratio = table.ratio(row, Target::Ours, rival)?;
        let name = rival.name();
        Some(told(ratio < 1.0, &format!("ours {ratio:.2} of {name}'s CPU time (bar: below 1)")))
    };
    let rivals = Target::ALL.into_iter().filter(|target| target.is_rival());
    of_floor.into_iter().chain(of_bun).chain(rivals.filter_map(beside)).collect()
}
