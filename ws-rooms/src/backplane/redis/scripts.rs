//! What must happen in Redis at once. Commands of Redis 6.2 suffice.
//!
//! KEYS of each: the room's head, stream, ids, channel. ARGV of each: the server's incarnation; `1` when it was read
//! just now; an epoch for a new numbering; how to publish; the head's life in ms; why members reload.
//!
//! The head holds `i` the incarnation, `e` the epoch, `o` the newest number, `b` the bytes kept.

use ::redis::{Cmd, ErrorKind, RedisError, RedisResult, Script, Value};

use crate::config::HistoryConfig;
use crate::protocol::{GapReason, NotRecovered, Position};

/// Ids that a room remembers, as the memory backplane's rooms do: minutes of a busy room.
const IDS: usize = 1_024;

/// Old events that one append drops at most, so that no script is long. More may be due when time has passed; the
/// next append goes on.
const TURNS: usize = 64;

/// The head, made anew when it is not there, or when the server may have lost what it said: a number is never given
/// twice in an epoch. A room is renumbered only for a caller who knows the incarnation for certain; another one
/// is told to look.
///
/// ORDER: what the channel refuses is refused before anything is written, by a server that can tell (Redis 7).
///
/// ORDER: the first write of each script that adds to a room is an `HSET`. A Redis without memory refuses it, and the
/// script with it, before anything is done; what comes after a first write it lets pass, beyond its bound.
const HEAD: &str = r"
local head = redis.call('HMGET', KEYS[1], 'i', 'e', 'o', 'b')
local epoch, offset, bytes = head[2], tonumber(head[3] or '0'), tonumber(head[4] or '0')
if epoch and head[1] ~= ARGV[1] and ARGV[2] ~= '1' then
  return {'look'}
end
local function may_publish()
  return not redis.acl_check_cmd or redis.acl_check_cmd(ARGV[4], KEYS[4], '')
end
local refused = redis.error_reply('NOPERM no right to publish on the channel of this room')
if not epoch or head[1] ~= ARGV[1] then
  if ONLY_KNOWN and not epoch then
    return {'unknown'}
  end
  if not may_publish() then return refused end
  epoch, offset, bytes = ARGV[3], 0, 0
  redis.call('HSET', KEYS[1], 'i', ARGV[1], 'e', epoch, 'o', 0, 'b', 0)
  redis.call('DEL', KEYS[2])
  redis.call(ARGV[4], KEYS[4], 'G ' .. epoch .. ' 0 ' .. ARGV[6] .. '\n')
end
local function keep()
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
local function text(number) return string.format('%.0f', number) end
local function remember(id, now)
  redis.call('ZADD', KEYS[3], now[1] * 1000000 + now[2], id)
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - IDS)
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
";

/// ARGV from 7 on: id, body, count, bytes and age in ms of the history.
const APPEND: &str = r"
if redis.call('ZSCORE', KEYS[3], ARGV[7]) then
  keep()
  return {'had'}
end
if not may_publish() then return refused end
redis.call('HSET', KEYS[1], 'i', ARGV[1])
keep()
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local body, count, most, oldest = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), ms - tonumber(ARGV[11])
offset = offset + 1
local kept = redis.call('XLEN', KEYS[2])
if kept == 0 then bytes = 0 end
redis.call('XADD', KEYS[2], text(offset) .. '-0', 't', ms, 'p', body)
kept, bytes = kept + 1, bytes + #body
for _ = 1, TURNS do
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not first or (kept <= count and bytes <= most and tonumber(first[2][2]) >= oldest) then break end
  redis.call('XDEL', KEYS[2], first[1])
  kept, bytes = kept - 1, bytes - #first[2][4]
end
redis.call('HSET', KEYS[1], 'o', text(offset), 'b', text(bytes))
redis.call('PEXPIRE', KEYS[2], math.max(1, tonumber(ARGV[11])))
remember(ARGV[7], now)
redis.call(ARGV[4], KEYS[4], 'E ' .. epoch .. ' ' .. text(offset) .. ' ' .. body)
return {'new'}
";

/// ARGV from 7 on: id, reason. What was kept before leads nowhere any more.
const SKIP: &str = r"
if redis.call('ZSCORE', KEYS[3], ARGV[7]) then
  keep()
  return {'had'}
end
if not may_publish() then return refused end
redis.call('HSET', KEYS[1], 'i', ARGV[1])
keep()
offset = offset + 1
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'o', text(offset), 'b', 0)
remember(ARGV[7], redis.call('TIME'))
redis.call(ARGV[4], KEYS[4], 'G ' .. epoch .. ' ' .. text(offset) .. ' ' .. ARGV[8] .. '\n')
return {'new'}
";

/// ARGV from 7 on: epoch and offset of the place (empty: none), events and bytes at most.
const READ: &str = r"
keep()
local at = {'read', epoch, text(offset)}
local function found(what) at[4] = what; return at end
if ARGV[7] == '' then return found('nothing') end
local since = tonumber(ARGV[8])
if ARGV[7] ~= epoch or since > offset then return found('epoch') end
local missed = offset - since
if missed == 0 then return found('whole') end
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if not first or tonumber(string.match(first[1], '^%d+')) > since + 1 then return found('trimmed') end
if missed > tonumber(ARGV[9]) then return found('too_many') end
local list = redis.call('XRANGE', KEYS[2], text(since + 1) .. '-0', '+', 'COUNT', missed + 1)
if #list ~= missed or list[missed][1] ~= text(offset) .. '-0' then return found('trimmed') end
local bytes = 0
for n = 1, missed do
  at[4 + n] = list[n][2][4]
  bytes = bytes + #at[4 + n]
end
if bytes > tonumber(ARGV[10]) then return {'read', epoch, text(offset), 'too_many'} end
return found('whole')
";

/// The scripts with their hashes.
#[derive(Debug)]
pub(super) struct Scripts {
    append: Text,
    skip: Text,
    read: Text,
}

#[derive(Debug)]
struct Text {
    text: String,
    hash: String,
}

/// What all scripts are told beside the room.
#[derive(Clone, Debug)]
pub(super) struct Ground<'a> {
    pub(super) prefix: &'a str,
    pub(super) incarnation: &'a str,
    /// The incarnation was read just now.
    pub(super) certain: bool,
    pub(super) sharded: bool,
    pub(super) reason: GapReason,
    pub(super) history: &'a HistoryConfig,
}

/// What became of an append or a skip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Put {
    Done,
    /// The room says another incarnation: read it, and come back certain.
    Look,
}

/// What a reading found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    Read { at: Position, missed: Option<Result<Vec<Vec<u8>>, NotRecovered>> },
    Look,
}

// === impl Scripts ===

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |body: &str, only_known: &str| {
            let text = [HEAD, body].concat();
            let text = text.replace("ONLY_KNOWN", only_known).replace("TURNS", &TURNS.to_string());
            let text = text.replace("IDS", &IDS.to_string());
            Text { hash: Script::new(&text).get_hash().to_owned(), text }
        };
        // Nobody misses anything in a room that nobody knows, so a skip makes none.
        Self { append: script(APPEND, "false"), skip: script(SKIP, "true"), read: script(READ, "false") }
    }

    /// Loads all of them.
    pub(super) fn load(&self, pipe: &mut ::redis::Pipeline) {
        for script in [&self.append, &self.skip, &self.read] {
            pipe.cmd("SCRIPT").arg("LOAD").arg(&script.text).ignore();
        }
    }

    pub(super) fn append(&self, ground: &Ground<'_>, room: &str, id: &str, body: &[u8]) -> Cmd {
        let mut cmd = ground.call(&self.append, room);
        let history = ground.history;
        cmd.arg(id).arg(body).arg(history.count).arg(history.bytes).arg(millis(history.age));
        cmd
    }

    pub(super) fn skip(&self, ground: &Ground<'_>, room: &str, id: &str, reason: GapReason) -> Cmd {
        let mut cmd = ground.call(&self.skip, room);
        cmd.arg(id).arg(word(reason));
        cmd
    }

    pub(super) fn read(
        &self,
        ground: &Ground<'_>,
        room: &str,
        since: Option<&Position>,
        events: usize,
        bytes: usize,
    ) -> Cmd {
        let mut cmd = ground.call(&self.read, room);
        match since {
            Some(Position { epoch, offset, .. }) => cmd.arg(&**epoch).arg(*offset),
            None => cmd.arg("").arg(""),
        };
        cmd.arg(events).arg(bytes);
        cmd
    }
}

// === impl Ground ===

impl Ground<'_> {
    fn call(&self, script: &Text, room: &str) -> Cmd {
        let Self { prefix, .. } = self;
        let mut cmd = ::redis::cmd("EVALSHA");
        cmd.arg(&script.hash).arg(4);
        // The braces put all of a room into one slot.
        for end in ["m", "s", "i"] {
            cmd.arg(format!("{prefix}{{{room}}}{end}"));
        }
        cmd.arg(channel(prefix, room));
        cmd.arg(self.incarnation).arg(u8::from(self.certain)).arg(format!("{:x}", rand::random::<u64>()));
        cmd.arg(if self.sharded { "SPUBLISH" } else { "PUBLISH" });
        // The head outlives the history, so that who comes back late hears «trimmed»; an hour at least, so
        // that a quiet room keeps its numbers. A node with members asks far more often than that.
        cmd.arg(millis(self.history.age).saturating_mul(2).max(3_600_000)).arg(word(self.reason));
        cmd
    }
}

/// Where a room's events are published.
pub(super) fn channel(prefix: &str, room: &str) -> String {
    format!("{prefix}{{{room}}}c")
}

/// Which room a channel is of.
pub(super) fn room_of<'a>(prefix: &str, channel: &'a str) -> Option<&'a str> {
    channel.strip_prefix(prefix)?.strip_prefix('{')?.strip_suffix("}c")
}

/// Reads the answer of an append or a skip.
pub(super) fn put(value: Value) -> RedisResult<Put> {
    let words: Vec<String> = ::redis::from_redis_value(value)?;
    Ok(if words.first().is_some_and(|word| word == "look") { Put::Look } else { Put::Done })
}

/// Reads the answer of a reading.
pub(super) fn answer(value: Value) -> RedisResult<Answer> {
    let mut parts: Vec<Vec<u8>> = ::redis::from_redis_value(value)?;
    if parts.first().is_some_and(|word| word == b"look") {
        return Ok(Answer::Look);
    }
    let strange = || RedisError::from((ErrorKind::UnexpectedReturnType, "not a reading of a room"));
    let text =
        |index: usize| parts.get(index).and_then(|part| std::str::from_utf8(part).ok()).ok_or_else(strange);
    let offset = text(2)?.parse().map_err(|_| strange())?;
    let at = Position::new(text(1)?, offset);
    let missed = match text(3)? {
        "nothing" => None,
        "epoch" => Some(Err(NotRecovered::Epoch)),
        "trimmed" => Some(Err(NotRecovered::Trimmed)),
        "too_many" => Some(Err(NotRecovered::TooMany)),
        "whole" => Some(Ok(parts.split_off(4))),
        _ => return Err(strange()),
    };
    Ok(Answer::Read { at, missed })
}

pub(super) fn word(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Slow => "slow",
        GapReason::Source => "source",
        GapReason::Trimmed => "trimmed",
        GapReason::Unknown => "unknown",
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
