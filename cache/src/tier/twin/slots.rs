//! Slots and their leases, byte by byte as the scripts for Redis see them.

use std::collections::HashMap;
use std::hash::Hash;

use bytes::Bytes;

use crate::envelope::{HEAD, Token};
use crate::tier::{Found, Slot, Taken};

/// What has a life, in ms of the twin's clock.
#[derive(Debug)]
pub(super) struct Mortal<K, V> {
    things: HashMap<K, (V, u64)>,
}

pub(super) type Slots = Mortal<Slot, Bytes>;

/// Whose slot it is, as of its first bytes.
#[derive(Clone, Copy, Debug)]
struct Lease {
    token: [u8; 16],
    /// Someone waits for it.
    awaited: bool,
    /// It lies over a value.
    until: Option<u64>,
}

/// As many as a test needs. More, and one has to go, as in a full Redis.
const MAX: usize = 100_000;

/// Where a value has its lease, and the end of it.
const TOKEN: usize = 17;
const UNTIL: usize = 33;

// === impl Mortal ===

impl<K: Clone + Eq + Hash, V: Clone> Mortal<K, V> {
    pub(super) fn new() -> Self {
        Self { things: HashMap::new() }
    }

    pub(super) fn get(&self, key: &K, now: u64) -> Option<V> {
        let (value, dies) = self.things.get(key)?;
        (now < *dies).then(|| value.clone())
    }

    pub(super) fn set(&mut self, key: K, value: V, dies: u64, now: u64) {
        if self.things.len() >= MAX && !self.things.contains_key(&key) {
            self.things.retain(|_, (_, dies)| now < *dies);
            if let Some(one) = self.things.keys().next().cloned().filter(|_| self.things.len() >= MAX) {
                self.things.remove(&one);
            }
        }
        self.things.insert(key, (value, dies));
    }

    /// When it dies, or did.
    pub(super) fn dies(&self, key: &K) -> Option<u64> {
        self.things.get(key).map(|(_, dies)| *dies)
    }

    /// Lets it live until then at least.
    pub(super) fn prolong(&mut self, key: &K, until: u64) {
        if let Some((_, dies)) = self.things.get_mut(key) {
            *dies = until.max(*dies);
        }
    }

    /// Of those that are not over.
    #[cfg(test)]
    pub(super) fn lives(&self, now: u64) -> Vec<u64> {
        self.things.values().filter(|(_, dies)| now < *dies).map(|(_, dies)| dies - now).collect()
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.things.remove(key);
    }

    /// Another value with the same life.
    fn replace(&mut self, key: &K, value: V) {
        if let Some((old, _)) = self.things.get_mut(key) {
            *old = value;
        }
    }
}

// === impl Slots ===

impl Slots {
    pub(super) fn read_or_lease(&mut self, slot: &Slot, token: Token, life: u64, now: u64) -> Found {
        if let Some(found) = self.get(slot, now) {
            return Found::Slot(found);
        }
        self.set(slot.clone(), lease(token), now + life, now);
        Found::Leased
    }

    pub(super) fn take(
        &mut self,
        slot: &Slot,
        id: Token,
        token: Token,
        life: u64,
        keep: bool,
        now: u64,
    ) -> Taken {
        let Some(found) = self.get(slot, now) else { return Taken::Changed };
        let held = Lease::of(&found);
        if held.is_some_and(|held| held.until.is_none()) {
            return Taken::Busy;
        }
        if found.len() < HEAD || found[0] != b'V' || found[1..TOKEN] != id.0 {
            return Taken::Changed;
        }
        if held.is_some_and(|held| held.until.is_some_and(|until| now < until)) {
            return Taken::Busy;
        }
        if keep {
            self.replace(slot, over(&found, token, now + life, false));
            self.prolong(slot, now + life);
        } else {
            self.set(slot.clone(), lease(token), now + life, now);
        }
        Taken::Leased
    }

    pub(super) fn renew(&mut self, slot: &Slot, token: Token, life: u64, now: u64) -> bool {
        let Some((found, held)) = self.held(slot, token, now) else { return false };
        if held.until.is_some() {
            self.replace(slot, over(&found, token, now + life, held.awaited));
        }
        self.prolong(slot, now + life);
        true
    }

    /// Whether someone waits for it.
    pub(super) fn release(&mut self, slot: &Slot, token: Token, now: u64) -> bool {
        let Some((found, held)) = self.held(slot, token, now) else { return false };
        if held.until.is_some() {
            self.replace(slot, over(&found, Token([0; 16]), 0, false));
        } else {
            self.remove(slot);
        }
        held.awaited
    }

    /// Whether someone waits for it; none when the lease is not this one.
    pub(super) fn fill(
        &mut self,
        slot: &Slot,
        token: Token,
        value: Bytes,
        life: u64,
        now: u64,
    ) -> Option<bool> {
        let (_, held) = self.held(slot, token, now)?;
        self.set(slot.clone(), value, now + life, now);
        Some(held.awaited)
    }

    pub(super) fn wait_for(&mut self, slot: &Slot, now: u64) {
        let Some(found) = self.get(slot, now) else { return };
        let Some(held) = Lease::of(&found) else { return };
        let mut bytes = found.to_vec();
        match held.until {
            None => bytes[0] = b'W',
            Some(until) if now < until => bytes[UNTIL] = b'W',
            Some(_) => {}
        }
        self.replace(slot, bytes.into());
    }

    fn held(&self, slot: &Slot, token: Token, now: u64) -> Option<(Bytes, Lease)> {
        let found = self.get(slot, now)?;
        let held = Lease::of(&found).filter(|held| held.token == token.0)?;
        Some((found, held))
    }
}

// === impl Lease ===

impl Lease {
    fn of(slot: &[u8]) -> Option<Self> {
        match slot.first()? {
            b'L' | b'W' if slot.len() == TOKEN => {
                let token = slot[1..TOKEN].try_into().ok()?;
                Some(Self { token, awaited: slot[0] == b'W', until: None })
            }
            b'V' if slot.len() >= HEAD => {
                let token = slot[TOKEN..UNTIL].try_into().ok()?;
                let until = std::str::from_utf8(&slot[UNTIL + 1..HEAD]).ok()?.parse().ok()?;
                (token != [0; 16]).then_some(Self { token, awaited: slot[UNTIL] == b'W', until: Some(until) })
            }
            _ => None,
        }
    }
}

fn lease(token: Token) -> Bytes {
    [&b"L"[..], &token.0].concat().into()
}

/// A value with this lease over it.
fn over(value: &[u8], token: Token, until: u64, awaited: bool) -> Bytes {
    let mut bytes = value.to_vec();
    bytes[TOKEN..UNTIL].copy_from_slice(&token.0);
    bytes[UNTIL..HEAD].copy_from_slice(format!("{until:016}").as_bytes());
    if awaited {
        bytes[UNTIL] = b'W';
    }
    bytes.into()
}
