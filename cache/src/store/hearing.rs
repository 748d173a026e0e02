//! What is done about what other processes do.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::mark::{Mark, MarkName};
use crate::store::Shared;
use crate::tier::{Ending, Heard};

impl Shared {
    pub(super) fn hear(&self, heard: Heard) {
        match heard {
            Heard::Attached(newest) => {
                self.begin(newest);
                self.attached.store(true, Ordering::Release);
                self.metrics.attached.set(1);
            }
            Heard::Detached => self.detach(),
            Heard::Ended(Ending::All, newest) => self.begin(newest),
            Heard::Ended(Ending::Key(slot), newest) => {
                self.heard_up_to(newest);
                if let Some(member) = self.member(&slot.space) {
                    member.ended(&slot.key);
                }
            }
            Heard::Ended(Ending::Mark(name), newest) => {
                self.heard_up_to(newest);
                self.ended(&name, newest);
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
        self.metrics.attached.set(0);
    }

    /// Forgets everything: something may have been missed.
    fn begin(&self, newest: Mark) {
        // ORDER: what was known is no more, then nothing old is left, and only then is anything trusted.
        self.attachment.fetch_add(1, Ordering::AcqRel);
        self.heard_up_to(newest);
        self.tags.end_all();
        for member in self.each() {
            member.ended_all(None);
        }
        self.metrics.flushes.add();
    }

    fn ended(&self, name: &MarkName, mark: Mark) {
        let mark = Some((mark, self.attachment.load(Ordering::Acquire)));
        match name.as_str().strip_prefix("s:") {
            Some(space) => {
                if let Some(member) = self.member(space) {
                    member.ended_all(mark);
                }
            }
            None => self.tags.end(name, mark),
        }
    }

    fn heard_up_to(&self, newest: Mark) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = newest;
    }
}
