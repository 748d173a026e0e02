//! A queue that mostly holds one thing or none.

use std::collections::VecDeque;

/// First in, first out. One alone needs no memory of its own, and an empty line holds none.
#[derive(Default)]
pub(super) enum Line<T> {
    #[default]
    Empty,
    One(T),
    Many(VecDeque<T>),
}

// === impl Line ===

impl<T> Line<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::Many(many) => many.len(),
        }
    }

    pub(super) fn front(&self) -> Option<&T> {
        match self {
            Self::Empty => None,
            Self::One(one) => Some(one),
            Self::Many(many) => many.front(),
        }
    }

    pub(super) fn push_back(&mut self, item: T) {
        match self {
            Self::Empty => *self = Self::One(item),
            Self::One(_) | Self::Many(_) => self.many().push_back(item),
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let Self::Many(many) = self else {
            return match std::mem::take(self) {
                Self::One(one) => Some(one),
                Self::Empty | Self::Many(_) => None,
            };
        };
        let first = many.pop_front();
        if many.is_empty() {
            *self = Self::Empty;
        }
        first
    }

    /// All of it, to be looked at and changed at any place.
    pub(super) fn many(&mut self) -> &mut VecDeque<T> {
        if !matches!(self, Self::Many(_)) {
            *self = Self::Many(match std::mem::take(self) {
                Self::One(one) => VecDeque::from([one]),
                Self::Empty | Self::Many(_) => VecDeque::new(),
            });
        }
        match self {
            Self::Many(many) => many,
            Self::Empty | Self::One(_) => unreachable!("it was made so just now"),
        }
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (first, rest) = match self {
            Self::Empty => (&[][..], &[][..]),
            Self::One(one) => (std::slice::from_ref(one), &[][..]),
            Self::Many(many) => many.as_slices(),
        };
        first.iter().chain(rest)
    }
}

impl<T> From<VecDeque<T>> for Line<T> {
    fn from(many: VecDeque<T>) -> Self {
        if many.is_empty() { Self::Empty } else { Self::Many(many) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is done to it, it is a `VecDeque`, and holds no memory where that is not needed.
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec(0_u8..5, 0..40)) {
            let (mut line, mut model) = (Line::default(), VecDeque::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        line.push_back(number);
                        model.push_back(number);
                    }
                    2 | 3 => {
                        prop_assert_eq!(line.pop_front(), model.pop_front());
                        prop_assert!(!line.is_empty() || matches!(line, Line::Empty));
                    }
                    _ => {
                        line.many().insert(0, number);
                        model.push_front(number);
                    }
                }
                prop_assert_eq!(line.front(), model.front());
                prop_assert_eq!((line.len(), line.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(line.iter().eq(&model));
            }
            prop_assert!(Line::from(model).iter().eq(line.iter()));
        }
    }
}
