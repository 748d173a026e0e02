//! Commands and calls of scripts.

use std::time::Duration;

use ::redis::{Cmd, ToRedisArgs, cmd};

use crate::clock::millis;
use crate::envelope::Token;
use crate::mark::MarkName;
use crate::tier::redis::names::Names;
use crate::tier::redis::scripts::{Script, Scripts};
use crate::tier::{Ending, Slot};

/// One command, and what to load when Redis does not know its script.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) command: Cmd,
    pub(super) script: Option<&'a Script>,
    /// Others hear of it, and of what was asked before it: those are to be answered first.
    pub(super) tells: bool,
}

/// Makes them.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) names: Names,
    pub(super) scripts: Scripts,
}

/// How long the count lives when nobody asks or ends anything. Without it nothing is lost but the values in Redis, which
/// nobody asked for either.
const COUNT_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long the mark of something that was ended lives at least: as long as the values of most caches may. Who asks for
/// it lets it live longer.
const MARK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

const GET: &str = "GET";
const MGET: &str = "MGET";

/// The letter and the id of a value: no two are the same.
const ID: usize = 17;

// === impl Calls ===

impl Calls {
    pub(super) fn new(names: Names) -> Self {
        Self { names, scripts: Scripts::new() }
    }

    pub(super) fn read(&self, slot: &Slot) -> Cmd {
        let name = self.names.value_in(slot);
        // As long as it becomes.
        let mut get = Cmd::with_capacity(2, GET.len() + name.len());
        get.arg(GET).arg(name);
        get
    }

    pub(super) fn read_many(&self, slots: &[Slot]) -> Cmd {
        let names = || slots.iter().map(|slot| self.names.value_in(slot));
        let length: usize = names().map(|name| name.len()).sum();
        let mut mget = Cmd::with_capacity(1 + slots.len(), MGET.len() + length);
        mget.arg(MGET);
        for name in names() {
            mget.arg(name);
        }
        mget
    }

    pub(super) fn read_or_lease(&self, slot: &Slot, lease: &[u8], life: u64) -> Call<'_> {
        let mut set = cmd("SET");
        set.arg(self.names.value(slot)).arg(lease).arg("NX").arg("GET").arg("PX").arg(life);
        Call::plain(set)
    }

    // ORDER: read first. What is leased after it was read is gone since.
    pub(super) fn read_or_lease_many(&self, slots: &[Slot], lease: &[u8], life: u64) -> [Call<'_>; 2] {
        let names: Vec<_> = slots.iter().map(|slot| self.names.value(slot)).collect();
        let mut mget = cmd(MGET);
        mget.arg(&names);
        let leasing = Call::script(&self.scripts.lease_many, &names).arg(lease).arg(life);
        [Call::plain(mget), leasing]
    }

    /// Over whatever is there.
    pub(super) fn seize(&self, slot: &Slot, lease: &[u8], life: u64) -> Call<'_> {
        let mut set = cmd("SET");
        set.arg(self.names.value(slot)).arg(lease).arg("PX").arg(life);
        Call::plain(set)
    }

    pub(super) fn take(&self, slot: &Slot, id: Token, token: Token, life: u64, keep: bool) -> Call<'_> {
        let call = self.on(&self.scripts.take, slot);
        call.arg(&id.0[..]).arg(&token.0[..]).arg(life).arg(u8::from(keep))
    }

    pub(super) fn renew(&self, slot: &Slot, token: Token, life: u64) -> Call<'_> {
        self.on(&self.scripts.renew, slot).arg(&token.0[..]).arg(life)
    }

    pub(super) fn release(&self, slot: &Slot, token: Token) -> Call<'_> {
        let call = self.on(&self.scripts.release, slot).arg(&token.0[..]);
        call.arg(&self.names.feed).arg(Names::filled(slot))
    }

    pub(super) fn fill(&self, slot: &Slot, token: Token, value: &[u8], life: u64) -> Call<'_> {
        let call = self.on(&self.scripts.fill, slot).arg(&token.0[..]).arg(value).arg(life);
        call.arg(&self.names.feed).arg(Names::filled(slot))
    }

    pub(super) fn wait(&self, slot: &Slot) -> Call<'_> {
        self.on(&self.scripts.wait, slot)
    }

    pub(super) fn drop_bad(&self, slot: &Slot, bad: &[u8]) -> Call<'_> {
        let ours = bad.first() == Some(&b'V') && bad.len() > ID;
        let begin = if ours { &bad[..ID] } else { bad };
        self.on(&self.scripts.drop_bad, slot).arg(begin).arg(bad.len())
    }

    pub(super) fn marks(&self, names: &[MarkName], life: u64) -> Call<'_> {
        let marks = names.iter().map(|name| self.names.mark(name));
        let names: Vec<_> = std::iter::once(self.names.count.clone()).chain(marks).collect();
        self.counting(&self.scripts.marks, &names).arg(life)
    }

    // ORDER: written first, then told: who hears of it finds it so.
    pub(super) fn put(&self, slot: &Slot, value: &[u8], life: u64, until: u64) -> [Call<'_>; 2] {
        let put = self.on(&self.scripts.put, slot).arg(value).arg(life).arg(until);
        [put, self.tell(&Ending::Key(slot.clone()))]
    }

    pub(super) fn end(&self, ending: &Ending) -> Vec<Call<'_>> {
        match ending {
            Ending::Key(slot) => {
                let mut unlink = cmd("UNLINK");
                unlink.arg(self.names.value(slot));
                vec![Call::plain(unlink), self.tell(ending)]
            }
            Ending::Mark(name) => {
                let names = [self.names.count.clone(), self.names.mark(name)];
                let call = self.counting(&self.scripts.end, &names).arg(millis(MARK_LIFE));
                vec![call.arg(&self.names.feed).arg(self.names.ended(ending)).telling()]
            }
            Ending::All => vec![self.telling(&self.scripts.end_all, ending)],
        }
    }

    pub(super) fn tell(&self, ending: &Ending) -> Call<'_> {
        self.telling(&self.scripts.tell, ending)
    }

    fn telling<'a>(&'a self, script: &'a Script, ending: &Ending) -> Call<'a> {
        let call = self.counting(script, std::slice::from_ref(&self.names.count));
        call.arg(&self.names.feed).arg(self.names.ended(ending)).telling()
    }

    fn on<'a>(&self, script: &'a Script, slot: &Slot) -> Call<'a> {
        Call::script(script, &[self.names.value(slot)])
    }

    fn counting<'a>(&self, script: &'a Script, names: &[String]) -> Call<'a> {
        let fresh = format!("{:016x}", rand::random::<u64>());
        Call::script(script, names).arg(millis(COUNT_LIFE)).arg(fresh)
    }
}

// === impl Call ===

impl<'a> Call<'a> {
    fn plain(command: Cmd) -> Self {
        Self { command, script: None, tells: false }
    }

    fn script(script: &'a Script, names: &[String]) -> Self {
        let mut command = cmd("EVALSHA");
        command.arg(&script.hash).arg(names.len()).arg(names);
        Self { command, script: Some(script), tells: false }
    }

    fn telling(self) -> Self {
        Self { tells: true, ..self }
    }

    fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.command.arg(arg);
        self
    }
}
