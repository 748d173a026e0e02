//! What is done about what other processes do.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::millis;
use crate::mark::{Mark, MarkName};
use crate::store::Shared;
use crate::tier::{Ending, Heard, NOTICE};

impl Shared {
    pub(super) fn hear(&self, heard: Heard) {
        match heard {
            Heard::Attached(newest) => {
                self.begin(newest);
                self.attached.store(true, Ordering::Release);
                self.metrics.detached.set(0);
            }
            Heard::Detached => self.detach(),
            Heard::Whole(moment) => self.whole(moment),
            Heard::Ended { ending: Ending::All, mark, .. } => self.begin(mark),
            Heard::Ended { ending: Ending::Key(slot), mark, own } => {
                self.heard_up_to(mark);
                // Our own are done by the caller, before and after it was told.
                if !own && let Some(member) = self.member(&slot.space) {
                    member.count_ended();
                    member.ended(&slot.key);
                }
            }
            Heard::Ended { ending: Ending::Mark(name), mark, own } => {
                self.heard_up_to(mark);
                self.ended(&name, mark, own);
            }
            Heard::Filled(slot) => {
                if let Some(member) = self.member(&slot.space) {
                    member.filled(&slot.key);
                }
            }
        }
    }

    pub(super) fn detach(&self) {
        self.attached.store(false, Ordering::Release);
        self.metrics.detached.set(1);
        self.believe(Duration::ZERO);
    }

    /// Others are heard, and everything was heard that they had ended before this moment.
    fn whole(&self, moment: u64) {
        self.whole.fetch_max(moment, Ordering::AcqRel);
        self.believe(NOTICE);
    }

    /// Memory is believed for so long beside `detached_age`.
    fn believe(&self, notice: Duration) {
        let whole = self.whole.load(Ordering::Acquire);
        let until = whole.saturating_add(millis(notice)).saturating_add(self.detached_age.into());
        // ORDER: what was heard has been ended before.
        self.believed_until.store(until, Ordering::Release);
    }

    /// Forgets everything: something may have been missed.
    fn begin(&self, newest: Mark) {
        // ORDER: what was known is no more, then nothing old is left, and only then is anything trusted.
        self.attachment.fetch_add(1, Ordering::AcqRel);
        self.heard_up_to(newest);
        // Entries and loads that carry tags are some cache's, and end with it.
        for member in self.each() {
            member.ended_all(None);
        }
        self.metrics.flushes.add();
    }

    fn ended(&self, name: &MarkName, mark: Mark, own: bool) {
        let mark = Some((mark, self.attachment.load(Ordering::Acquire)));
        match name.as_str().strip_prefix("s:") {
            Some(space) => {
                if let Some(member) = self.member(space) {
                    // Counted when it began, if we began it.
                    if !own {
                        member.count_ended();
                    }
                    member.ended_all(mark);
                }
            }
            None => {
                if !own {
                    self.metrics.tag_invalidations.add();
                }
                self.tags.end(name, mark);
            }
        }
    }

    fn heard_up_to(&self, newest: Mark) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = newest;
    }
}
