//! The numbers of tags.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::epochs::Cell;
use crate::epochs::recent::Recent;
use crate::mark::{Mark, MarkName};

/// The tags of a store. One's number lives as long as an entry or a load that carries it.
#[derive(Debug, Default)]
pub(crate) struct Tags(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    cells: HashMap<MarkName, Weak<Cell>>,
    /// How many cells there may be before the dead ones are swept out.
    sweep_at: usize,
    recent: Recent,
}

/// How an entry's tags stood.
#[derive(Debug)]
pub(crate) struct TagStamps(Box<[TagStamp]>);

#[derive(Clone, Debug)]
pub(crate) struct TagStamp {
    pub(crate) name: MarkName,
    pub(crate) cell: Arc<Cell>,
    pub(crate) at: u32,
}

// === impl Tags ===

impl Tags {
    /// How these tags stand now.
    pub(crate) fn stamps(&self, names: impl IntoIterator<Item = MarkName>) -> Option<Arc<TagStamps>> {
        let mut names = names.into_iter().peekable();
        names.peek()?;
        let mut table = self.lock();
        let stamps = names.map(|name| {
            let cell = table.cell(&name);
            TagStamp { at: cell.epoch(), name, cell }
        });
        Some(Arc::new(TagStamps(stamps.collect())))
    }

    /// Ends every entry and load that carries the tag.
    pub(crate) fn end(&self, name: &MarkName, mark: Option<(Mark, u64)>) {
        let mut table = self.lock();
        table.recent.add(name);
        if let Some(cell) = table.cells.get(name).and_then(Weak::upgrade) {
            cell.end(mark);
        }
    }

    /// The moment, for [`ended_since`](Self::ended_since).
    pub(crate) fn moment(&self) -> u64 {
        self.lock().recent.moment()
    }

    /// When one of these ended first since then, as far as is remembered; what is forgotten may have at once.
    pub(crate) fn ended_since(&self, moment: u64, tags: &TagStamps) -> Option<u64> {
        let table = self.lock();
        tags.iter().filter_map(|tag| table.recent.ended_since(moment, &tag.name)).min()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Table ===

impl Table {
    fn cell(&mut self, name: &MarkName) -> Arc<Cell> {
        if let Some(cell) = self.cells.get(name).and_then(Weak::upgrade) {
            return cell;
        }
        if self.cells.len() >= self.sweep_at {
            self.cells.retain(|_, cell| cell.strong_count() > 0);
            // Twice what lives: each sweep is paid for by as many new tags.
            self.sweep_at = (self.cells.len() * 2).max(1024);
        }
        let cell = Arc::new(Cell::default());
        self.cells.insert(name.clone(), Arc::downgrade(&cell));
        cell
    }
}

// === impl TagStamps ===

impl TagStamps {
    pub(crate) fn are_current(&self) -> bool {
        self.0.iter().all(|tag| tag.cell.epoch() == tag.at)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TagStamp> {
        self.0.iter()
    }

    /// These and those.
    pub(crate) fn joined(first: Option<&Arc<Self>>, second: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        match (first, second) {
            (Some(first), Some(second)) => {
                Some(Arc::new(Self(first.iter().chain(second.iter()).cloned().collect())))
            }
            (one, other) => one.or(other).cloned(),
        }
    }
}

#[cfg(test)]
impl Tags {
    pub(crate) fn len(&self) -> usize {
        self.lock().cells.len()
    }
}
