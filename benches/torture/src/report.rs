//! What the program tells.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use crate::ledger::{Finding, Ledger};
use crate::log::Known;
use crate::plan::Fault;
use crate::tally::Counts;

/// All that a run has come to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) ledger: Ledger,
    pub(crate) known: Known,
    pub(crate) counts: Counts,
    pub(crate) faults: BTreeMap<Fault, u32>,
    /// The longest time between two effects.
    pub(crate) idle: Duration,
    /// What went wrong beside the ledger.
    pub(crate) troubles: Vec<String>,
}

/// More ids of one kind tell no more.
const IDS: usize = 50;

// === impl Report ===

impl Report {
    /// Prints it; whether nothing is wrong.
    pub(crate) fn tell(&self) -> bool {
        let (ledger, counts, known) = (&self.ledger, &self.counts, &self.known);
        let ordered = ledger.accepted.values().filter(|one| one.ordered).count();
        let poison = ledger.accepted.values().filter(|one| one.poison).count();
        let of_nobody = |id: &str| ledger.unanswered.contains_key(id);
        let unanswered = ledger.effects.iter().filter(|effect| of_nobody(&effect.event_id)).count();
        say("\n── what happened");
        row(
            "events",
            &format!(
                "{} confirmed to publishers, {ordered} committed in outboxes; {} rolled back, {} never answered",
                known.accepted.len(),
                counts.rolled_back,
                ledger.unanswered.len(),
            ),
        );
        row(
            "effects",
            &format!(
                "{} of {}, {unanswered} of what was never answered; dead letters of {} of {poison} poison events, {} of them told again; {} sent back",
                ledger.effects.len() - unanswered,
                ledger.accepted.len() - poison,
                ledger.letters.len(),
                ledger.repeated_letters(),
                counts.redriven,
            ),
        );
        let faults: Vec<_> = self.faults.iter().map(|(fault, n)| format!("{} {n}", fault.name())).collect();
        row("faults", &format!("{} in all: {}", self.faults.values().sum::<u32>(), faults.join(", ")));
        row(
            "handlers",
            &format!(
                "{} calls, {} redelivered, {} repeats suppressed, {} failed on purpose",
                counts.handled, counts.redelivered, counts.suppressed, counts.failed
            ),
        );
        let answers: Vec<_> = known.answers.iter().map(|(name, n)| format!("{name} {n}")).collect();
        row("answers", &format!("{} unknown, sent again ({})", known.unknown, answers.join(", ")));
        row(
            "outages",
            &format!(
                "longest without a confirm {:.1} s, without an effect {:.1} s",
                known.outage.longest.as_secs_f64(),
                self.idle.as_secs_f64()
            ),
        );
        self.verdict(&ledger.findings())
    }

    fn verdict(&self, findings: &[Finding]) -> bool {
        for finding in findings {
            say(&format!("WRONG  {}: {}", finding.what, finding.ids.len()));
            for id in finding.ids.iter().take(IDS) {
                say(&format!("         {id}"));
            }
            if finding.ids.len() > IDS {
                say(&format!("         and {} more", finding.ids.len() - IDS));
            }
        }
        for trouble in &self.troubles {
            say(&format!("WRONG  {trouble}"));
        }
        let sound = findings.is_empty() && self.troubles.is_empty();
        say(&format!("{}, seed {}", if sound { "nothing lost" } else { "FAILED" }, self.seed));
        sound
    }
}

fn row(name: &str, text: &str) {
    say(&format!("{name:<9} {text}"));
}

/// Prints a line. A closed standard output is no reason to stop.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
