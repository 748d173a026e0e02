//! What must happen in Redis at once.

use std::time::Duration;

use ::redis::{Script, ScriptInvocation};

use crate::tier::redis::Slot;

#[derive(Debug)]
pub(crate) struct Scripts {
    read: Script,
    fill: Script,
    drop_if: Script,
    drop_ending: Script,
}

/// KEYS: slot, marks. ARGV: token, lease in ms (0: take none), life of a new mark in ms.
/// Answers status, value, rest of its life, marks. Status: `H`it, `L`eased to us, `B`usy, `M`issing.
const READ: &str = r"
local marks = {}
for i = 2, #KEYS do
  local mark = redis.call('GET', KEYS[i])
  if not mark then
    mark = ARGV[1]
    redis.call('SET', KEYS[i], mark, 'PX', ARGV[3])
  end
  marks[#marks + 1] = mark
end
local slot = redis.call('GET', KEYS[1])
local head = 'V' .. table.concat(marks, ',') .. '\n'
if slot and string.sub(slot, 1, #head) == head then
  return {'H', string.sub(slot, #head + 1), redis.call('PTTL', KEYS[1]), marks}
end
if slot and string.sub(slot, 1, 1) == 'L' then
  return {'B', '', 0, marks}
end
if ARGV[2] == '0' then
  return {'M', '', 0, marks}
end
redis.call('SET', KEYS[1], 'L' .. ARGV[1], 'PX', ARGV[2])
return {'L', '', 0, marks}
";

/// KEYS: slot, marks. ARGV: lease (empty: write over anything), value, its life in ms, life of the marks in
/// ms, channel (empty: tell nobody), message, marks as they were read. Answers 1 when written.
const FILL: &str = r"
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= 'L' .. ARGV[1] then
  return 0
end
local marks = {}
for i = 2, #KEYS do
  local mark = ARGV[i + 5]
  if redis.call('GET', KEYS[i]) ~= mark then
    if ARGV[1] ~= '' then redis.call('UNLINK', KEYS[1]) end
    return 0
  end
  marks[#marks + 1] = mark
end
for i = 2, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ARGV[4])
end
redis.call('SET', KEYS[1], 'V' .. table.concat(marks, ',') .. '\n' .. ARGV[2], 'PX', ARGV[3])
if ARGV[5] ~= '' then
  redis.call('PUBLISH', ARGV[5], ARGV[6])
end
return 1
";

const DROP_IF: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
return 0
";

const DROP_ENDING: &str = r"
local slot = redis.call('GET', KEYS[1])
if slot and string.sub(slot, 1, 1) == 'V' and string.sub(slot, -#ARGV[1]) == ARGV[1] then
  return redis.call('UNLINK', KEYS[1])
end
return 0
";

// === impl Scripts ===

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            read: Script::new(READ),
            fill: Script::new(FILL),
            drop_if: Script::new(DROP_IF),
            drop_ending: Script::new(DROP_ENDING),
        }
    }

    pub(crate) fn read(
        &self,
        names: &[String],
        token: &str,
        lease: Duration,
        mark_life: Duration,
    ) -> ScriptInvocation<'_> {
        let mut call = self.read.prepare_invoke();
        for name in names {
            call.key(name);
        }
        call.arg(token).arg(millis(lease)).arg(millis(mark_life));
        call
    }

    pub(crate) fn fill(
        &self,
        names: &[String],
        slot: &Slot,
        value: &[u8],
        ttl: Duration,
        mark_life: Duration,
        tell: Option<&(String, String)>,
    ) -> ScriptInvocation<'_> {
        let mut call = self.fill.prepare_invoke();
        for name in names {
            call.key(name);
        }
        let (channel, message) = tell.map_or(("", ""), |(channel, message)| (channel, message));
        call.arg(&slot.lease)
            .arg(value)
            .arg(millis(ttl).max(1))
            .arg(millis(mark_life))
            .arg(channel)
            .arg(message);
        for mark in &slot.marks {
            call.arg(mark);
        }
        call
    }

    pub(crate) fn drop_if(&self, name: &str, content: &[u8]) -> ScriptInvocation<'_> {
        let mut call = self.drop_if.prepare_invoke();
        call.key(name).arg(content);
        call
    }

    pub(crate) fn drop_ending(&self, name: &str, end: &[u8]) -> ScriptInvocation<'_> {
        let mut call = self.drop_ending.prepare_invoke();
        call.key(name).arg(end);
        call
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
