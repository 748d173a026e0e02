//! Whom a node has told its members of.
//!
//! Who comes and goes is said on the room's channel, without numbers. After a subscription was lost, the room's list is
//! compared with what was told.

use std::collections::HashSet;

/// A user who came or left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Moved {
    Joined(String),
    Left(String),
}

/// The users of one room.
#[derive(Debug, Default)]
pub(super) struct There {
    /// `None` until the first list.
    told: Option<HashSet<String>>,
    /// What was said while a list is awaited.
    held: Vec<Moved>,
    /// Lists that are out; the newest counts.
    asked: u32,
    /// The subscription was lost before the first list: nobody knows what was told.
    lost: bool,
}

// === impl Moved ===

impl Moved {
    /// Reads what a channel says; `None` when it is about something else.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let user = |text: &[u8]| String::from_utf8(text.to_vec()).ok();
        match text {
            [b'J', b' ', rest @ ..] => user(rest).map(Self::Joined),
            [b'L', b' ', rest @ ..] => user(rest).map(Self::Left),
            _ => None,
        }
    }
}

// === impl There ===

impl There {
    /// A list is asked for.
    pub(super) fn ask(&mut self) {
        self.asked += 1;
        self.held.clear();
    }

    /// The connection is gone, and the list with it.
    pub(super) fn unask(&mut self) {
        self.asked = 0;
        self.held = Vec::new();
        self.lost = self.told.is_none();
    }

    /// Takes what the channel says.
    pub(super) fn said(&mut self, moved: Moved, tell: &mut Vec<Moved>) {
        if self.asked > 0 {
            self.held.push(moved);
        } else {
            self.follow(moved, tell);
        }
    }

    /// Takes the list. What was said since it was asked for comes after it, however much of that the list has.
    pub(super) fn list(&mut self, users: HashSet<String>, tell: &mut Vec<Moved>) {
        self.asked = self.asked.saturating_sub(1);
        if self.asked > 0 {
            return;
        }
        if let Some(told) = &self.told {
            tell.extend(told.difference(&users).cloned().map(Moved::Left));
            tell.extend(users.difference(told).cloned().map(Moved::Joined));
        } else if std::mem::take(&mut self.lost) {
            // Better twice than never.
            tell.extend(users.iter().cloned().map(Moved::Joined));
        }
        let first = self.told.replace(users).is_none();
        for moved in std::mem::take(&mut self.held) {
            let before = tell.len();
            self.follow(moved.clone(), tell);
            if first && tell.len() == before {
                // What was told before the list was not written down, so all that came since is news.
                tell.push(moved);
            }
        }
    }

    fn follow(&mut self, moved: Moved, tell: &mut Vec<Moved>) {
        let news = match (&mut self.told, &moved) {
            (None, _) => true,
            (Some(told), Moved::Joined(user)) => told.insert(user.clone()),
            (Some(told), Moved::Left(user)) => told.remove(user),
        };
        if news {
            tell.push(moved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(user: &str) -> Moved {
        Moved::read(format!("J {user}").as_bytes()).unwrap()
    }

    fn left(user: &str) -> Moved {
        Moved::read(format!("L {user}").as_bytes()).unwrap()
    }

    fn users(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn after_a_loss_the_difference_is_told() {
        let (mut there, mut tell) = (There::default(), Vec::new());
        there.ask();
        there.list(users(&["ada", "bob"]), &mut tell);
        assert!(tell.is_empty(), "those who were there before us are no news");
        there.said(joined("bob"), &mut tell);
        there.said(left("nobody"), &mut tell);
        assert!(tell.is_empty());
        there.ask();
        there.said(left("cyd"), &mut tell);
        there.said(joined("dan"), &mut tell);
        assert!(tell.is_empty(), "held");
        there.list(users(&["ada", "cyd"]), &mut tell);
        assert_eq!(tell, [left("bob"), joined("cyd"), left("cyd"), joined("dan")]);
    }

    /// The answer of an older question must not undo what was said since.
    #[test]
    fn of_two_lists_the_newer_counts() {
        let (mut there, mut tell) = (There::default(), Vec::new());
        there.ask();
        there.ask();
        there.list(users(&[]), &mut tell);
        there.said(joined("ada"), &mut tell);
        there.list(users(&[]), &mut tell);
        there.said(joined("bob"), &mut tell);
        assert_eq!(tell, [joined("ada"), joined("bob")]);
        assert_eq!(there.told, Some(users(&["ada", "bob"])));
    }

    #[test]
    fn a_loss_before_the_first_list_tells_everybody() {
        let (mut there, mut tell) = (There::default(), Vec::new());
        there.said(joined("ada"), &mut tell);
        there.ask();
        there.unask();
        there.ask();
        there.list(users(&["bob"]), &mut tell);
        assert_eq!(tell, [joined("ada"), joined("bob")]);
        tell.clear();
        there.unask();
        there.ask();
        there.list(users(&["bob"]), &mut tell);
        assert!(tell.is_empty());
    }

    #[test]
    fn before_the_first_list_everything_is_told() {
        let (mut there, mut tell) = (There::default(), Vec::new());
        there.said(joined("ada"), &mut tell);
        there.ask();
        there.said(joined("bob"), &mut tell);
        there.said(left("ada"), &mut tell);
        there.list(users(&["bob"]), &mut tell);
        assert_eq!(tell, [joined("ada"), joined("bob"), left("ada")]);
        assert_eq!(Moved::read(b"E 1 2 x"), None);
    }
}
