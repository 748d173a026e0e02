//! The ways to end what is kept.

use crate::linear::ROWS;
use crate::linear::worker::{Kind, Worker, loaded, tag};

/// What ends, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Key(u64),
    /// By another value.
    Write(u64),
    Tag(Kind),
    /// Each third of the rows from this one on, by their keys.
    Keys(u64),
    /// Both of them.
    Tags,
    All,
}

// === impl Way ===

impl Way {
    /// Each way, until it has ended all that can be ended by it.
    pub(super) fn each() -> [Vec<Self>; 6] {
        let rows = |way: fn(u64) -> Self| (0..ROWS).map(way).collect();
        [
            rows(Self::Key),
            rows(Self::Write),
            vec![Self::Tag(Kind::Tagged), Self::Tag(Kind::Late)],
            vec![Self::Keys(0), Self::Keys(1), Self::Keys(2)],
            vec![Self::Tags],
            vec![Self::All],
        ]
    }

    fn ends(self, row: u64) -> bool {
        match self {
            Self::Key(one) | Self::Write(one) => row == one,
            Self::Tag(kind) => Kind::of(row) == kind,
            Self::Keys(first) => row % 3 == first % 3,
            Self::Tags => Kind::of(row) != Kind::Plain,
            Self::All => true,
        }
    }
}

// === impl Worker ===

impl Worker {
    /// Changes the rows, which are there from then on or not, and ends what is kept of them.
    pub(super) async fn end(&self, way: Way, policy: usize, there: impl Fn(u64) -> bool) {
        if let Way::Write(row) = way {
            let write = async |seen| self.cache_of(policy, row).set(&row, loaded(row, seen)).await;
            return self.source.write(row, self.node, write).await;
        }
        let rows: Vec<u64> = (0..ROWS).filter(|row| way.ends(*row)).collect();
        for row in &rows {
            self.source.change(*row, there(*row)).await;
        }
        let mut begun = self.source.begin(&rows, self.node);
        match way {
            Way::Tag(kind) => {
                // That there is nothing has no tags but the policy's.
                begun.nothing = kind == Kind::Tagged;
                self.store.invalidate_tag(&tag(kind)).await;
            }
            Way::Tags => {
                begun.nothing = false;
                self.store.invalidate_tags(&[Kind::Tagged, Kind::Late].map(tag)).await;
            }
            Way::Keys(_) => self.cache_of(policy, rows[0]).invalidate_many(&rows).await,
            Way::All => self.cache_of(policy, rows[0]).invalidate_all().await,
            Way::Key(row) | Way::Write(row) => self.cache_of(policy, row).invalidate(&row).await,
        }
        self.source.done(begun);
    }
}
