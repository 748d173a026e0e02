//! What must happen in Redis at once.
//!
//! Scripts on a slot touch that slot alone. Those that count begin with the key of the count, its life and a fresh
//! incarnation. `allow-oom`: what is ended must be ended in a full Redis too.

use std::fmt;

/// A script, and the name that Redis knows it by.
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) hash: String,
}

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) lease_many: Script,
    pub(super) take: Script,
    pub(super) renew: Script,
    pub(super) release: Script,
    pub(super) fill: Script,
    pub(super) put: Script,
    pub(super) wait: Script,
    pub(super) drop_bad: Script,
    pub(super) marks: Script,
    pub(super) end: Script,
    pub(super) tell: Script,
    pub(super) end_all: Script,
}

/// Whose slot KEYS[1] is. `bare`: a lease and nothing else; `over`: a value, and perhaps a lease over it.
macro_rules! lease {
    () => {
        r"
local head = redis.call('GETRANGE', KEYS[1], 0, 48)
local kind = string.sub(head, 1, 1)
local bare = (kind == 'L' or kind == 'W') and #head == 17
local over = kind == 'V' and #head == 49
local token = bare and string.sub(head, 2, 17) or over and string.sub(head, 18, 33)
local awaited = bare and kind == 'W' or over and string.sub(head, 34, 34) == 'W'
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function lives()
  return token ~= string.rep('\0', 16) and (tonumber(string.sub(head, 35, 49)) or 0) > now()
end
"
    };
}

/// Counts on by so many, and answers the incarnation and the number. A count that is lost, or is none, begins anew with
/// another incarnation: then no mark is what it was.
macro_rules! count {
    () => {
        r"
local function count(by)
  local held = redis.pcall('HMGET', KEYS[1], 'i', 'n')
  -- Of another type is none; any other error is one.
  if held.err and not string.find(held.err, 'WRONGTYPE') then redis.call('HMGET', KEYS[1], 'i', 'n') end
  local i, n = held[1], held[2]
  if held.err or not i or not n or #i ~= 16 or not string.match(n, '^%d+$') then
    i, n = ARGV[2], '0'
    redis.call('UNLINK', KEYS[1])
    redis.call('HSET', KEYS[1], 'i', i, 'n', n)
  end
  if by > 0 then n = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'n', by)) end
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  return i, n
end
"
    };
}

/// KEYS: slots, after they were read. ARGV: lease, its life. Answers 0 when all are there, else for each 1: leased now,
/// 0: there, -1: Redis takes no writes.
///
/// Values do not go through the script: that would cost more than all the rest.
const LEASE_MANY: &str = r"
if redis.call('EXISTS', unpack(KEYS)) == #KEYS then return 0 end
local leased = {}
for k = 1, #KEYS do
  local set = redis.pcall('SET', KEYS[k], ARGV[1], 'NX', 'PX', ARGV[2])
  local err = set and set.err
  if err and not (string.find(err, 'OOM') or string.find(err, 'MISCONF') or string.find(err, 'NOREPLICAS')) then
    redis.call('SET', KEYS[k], ARGV[1], 'NX', 'PX', ARGV[2])
  end
  leased[k] = err and -1 or set and 1 or 0
end
return leased
";

/// ARGV: id, token, life, whether the value stays. Answers 1: leased, 2: another has it, 0: it is not there.
const TAKE: &str = concat!(
    "#!lua flags=allow-oom",
    lease!(),
    r"
if bare then return 2 end
if not over or string.sub(head, 2, 17) ~= ARGV[1] then return 0 end
if lives() then return 2 end
if ARGV[4] == '1' then
  redis.call('SETRANGE', KEYS[1], 17, ARGV[2] .. string.format('%016.0f', now() + ARGV[3]))
  redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
else
  redis.call('SET', KEYS[1], 'L' .. ARGV[2], 'PX', ARGV[3])
end
return 1
"
);

/// ARGV: token, life. Answers 0 when it is not the lease's.
const RENEW: &str = concat!(
    "#!lua flags=allow-oom",
    lease!(),
    r"
if token ~= ARGV[1] then return 0 end
if over then redis.call('SETRANGE', KEYS[1], 34, string.format('%015.0f', now() + ARGV[2])) end
redis.call('PEXPIRE', KEYS[1], ARGV[2], 'GT')
return 1
"
);

/// ARGV: token, channel, message for those who wait.
const RELEASE: &str = concat!(
    "#!lua flags=allow-oom",
    lease!(),
    r"
if token ~= ARGV[1] then return 0 end
if bare then
  redis.call('UNLINK', KEYS[1])
else
  redis.call('SETRANGE', KEYS[1], 17, string.rep('\0', 16) .. string.rep('0', 16))
end
if awaited then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1
"
);

/// ARGV: token, value, life, channel, message for those who wait. Answers 0 when it is not the lease's.
const FILL: &str = concat!(
    lease!(),
    r"
if token ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if awaited then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1
"
);

/// ARGV: value, life, until when it may be written. Answers 0 when that is over.
///
/// What was written to a connection that was given up arrives when the network likes: no sooner than what came after it.
const PUT: &str = r"
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// Someone waits for whoever has the lease.
const WAIT: &str = concat!(
    "#!lua flags=allow-oom",
    lease!(),
    r"
if bare then
  redis.call('SETRANGE', KEYS[1], 0, 'W')
elseif over and lives() then
  redis.call('SETRANGE', KEYS[1], 33, 'W')
end
return 1
"
);

/// ARGV: how it begins, how long it is.
const DROP_BAD: &str = r"
local same = redis.call('STRLEN', KEYS[1]) == tonumber(ARGV[2])
  and redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) == ARGV[1]
return same and redis.call('UNLINK', KEYS[1]) or 0
";

/// KEYS: count, marks. ARGV: those of the count, life of a mark. Answers the newest, then each mark. One that is not
/// there is made, of the newest; one of another incarnation is none.
const MARKS: &str = concat!(
    "#!lua flags=allow-oom",
    count!(),
    r"
local i, n = count(0)
local newest = i .. '.' .. n
local marks = {newest}
for k = 2, #KEYS do
  local mark = redis.pcall('GET', KEYS[k])
  if type(mark) == 'table' and not string.find(mark.err, 'WRONGTYPE') then redis.call('GET', KEYS[k]) end
  if type(mark) == 'string' and string.match(mark, '^' .. i .. '%.%d+$') then
    redis.call('PEXPIRE', KEYS[k], ARGV[3], 'GT')
  else
    mark = newest
    redis.call('SET', KEYS[k], mark, 'PX', ARGV[3])
  end
  marks[k] = mark
end
return marks
"
);

/// KEYS: count, mark. ARGV: those of the count, life of the mark, channel, message.
const END: &str = concat!(
    "#!lua flags=allow-oom",
    count!(),
    r"
local i, n = count(1)
local mark = i .. '.' .. n
local life = math.max(redis.call('PTTL', KEYS[2]), ARGV[3])
redis.call('SET', KEYS[2], mark, 'PX', string.format('%.0f', life))
redis.call('PUBLISH', ARGV[4], 'e ' .. mark .. ' ' .. ARGV[5])
return 1
"
);

/// KEYS: count. ARGV: those of the count, channel, message.
const TELL: &str = concat!(
    "#!lua flags=allow-oom",
    count!(),
    r"
local i, n = count(1)
redis.call('PUBLISH', ARGV[3], 'e ' .. i .. '.' .. n .. ' ' .. ARGV[4])
return 1
"
);

/// The same, with another incarnation: all marks end.
const END_ALL: &str = concat!(
    "#!lua flags=allow-oom",
    count!(),
    r"
redis.call('UNLINK', KEYS[1])
local i, n = count(1)
redis.call('PUBLISH', ARGV[3], 'e ' .. i .. '.' .. n .. ' ' .. ARGV[4])
return 1
"
);

// === impl Scripts ===

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            lease_many: Script::new(LEASE_MANY),
            take: Script::new(TAKE),
            renew: Script::new(RENEW),
            release: Script::new(RELEASE),
            fill: Script::new(FILL),
            put: Script::new(PUT),
            wait: Script::new(WAIT),
            drop_bad: Script::new(DROP_BAD),
            marks: Script::new(MARKS),
            end: Script::new(END),
            tell: Script::new(TELL),
            end_all: Script::new(END_ALL),
        }
    }

    pub(super) fn all(&self) -> [&Script; 12] {
        [
            &self.lease_many,
            &self.take,
            &self.renew,
            &self.release,
            &self.fill,
            &self.put,
            &self.wait,
            &self.drop_bad,
            &self.marks,
            &self.end,
            &self.tell,
            &self.end_all,
        ]
    }
}

// === impl Script ===

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: ::redis::Script::new(code).get_hash().to_owned() }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("hash", &self.hash).finish_non_exhaustive()
    }
}
