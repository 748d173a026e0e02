//! What must happen in Redis at once, for who is where.
//!
//! A room's hash has `t<user>` the connections on all nodes, `n<node>:<user>` those on one, and `c` how many users have
//! any; a sorted set has the users whose leave waits, by its time in ms. KEYS of each: hash, sorted set, channel. ARGV of
//! each: how to publish, life of the keys in ms.

use ::redis::{Cmd, RedisResult, Value};

use crate::presence::USERS;
use crate::protocol::Member;

/// Leaves in one step, so that no script is long.
const STEP: usize = 1_000;

/// ORDER: what the channel refuses is refused before anything is written, as in the scripts of rooms. What publishes
/// nothing does not ask.
const HEAD: &str = r"
local people, leaving, channel = KEYS[1], KEYS[2], KEYS[3]
local may = not redis.acl_check_cmd or redis.acl_check_cmd(ARGV[1], channel, '')
local function refusal()
  return redis.error_reply('NOPERM no right to publish on the channel of this room')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function keep()
  redis.call('PEXPIRE', people, ARGV[2])
  redis.call('PEXPIRE', leaving, ARGV[2])
end
local function settle()
  if not may then return end
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', leaving, '-inf', now, 'LIMIT', 0, STEP)) do
    redis.call('ZREM', leaving, user)
    redis.call(ARGV[1], channel, 'L ' .. user)
  end
end
local function leave(user, after)
  redis.call('HDEL', people, 't' .. user)
  redis.call('HINCRBY', people, 'c', -1)
  redis.call('ZADD', leaving, now + after, user)
end
";

/// ARGV from 3 on: user, node, connections there, how long a leave waits in ms. Says the same again as often as asked.
///
/// ORDER: as in the scripts of rooms, a Redis without memory refuses the first write of a user who comes. Whoever leaves
/// is let out, by a Redis without memory and by one that refuses the channel.
const PUT: &str = r"
local user, field, count = ARGV[3], 'n' .. ARGV[4] .. ':' .. ARGV[3], tonumber(ARGV[5])
local known = redis.call('HMGET', people, field, 't' .. user, 'c')
local old, was, listed = tonumber(known[1] or '0'), tonumber(known[2] or '0'), tonumber(known[3] or '0')
if count > 0 and was <= 0 and not may then return refusal() end
if count > 0 then
  redis.call('HSET', people, field, count)
else
  redis.call('HDEL', people, field)
end
settle()
local sum = was + count - old
if sum > 0 then
  local waits = redis.call('ZSCORE', leaving, user)
  if was <= 0 and not waits and listed + redis.call('ZCARD', leaving) >= USERS then
    redis.call('HDEL', people, field)
    return 'full'
  end
  redis.call('HSET', people, 't' .. user, sum)
  if was <= 0 then
    redis.call('HINCRBY', people, 'c', 1)
  end
  if waits then
    redis.call('ZREM', leaving, user)
  elseif was <= 0 then
    redis.call(ARGV[1], channel, 'J ' .. user)
  end
elseif was > 0 then
  leave(user, ARGV[6])
end
keep()
return 'done'
";

/// ARGV from 3 on: node, how long leaves wait in ms. Takes back all that a node had in the room.
const BURY: &str = r"
local prefix = 'n' .. ARGV[3] .. ':'
local all = redis.call('HGETALL', people)
for n = 1, #all, 2 do
  if string.sub(all[n], 1, #prefix) == prefix then
    local user = string.sub(all[n], #prefix + 1)
    redis.call('HDEL', people, all[n])
    if redis.call('HEXISTS', people, 't' .. user) == 1
        and redis.call('HINCRBY', people, 't' .. user, -tonumber(all[n + 1])) <= 0 then
      leave(user, ARGV[4])
    end
  end
end
keep()
return 'done'
";

/// Answers when the next leave is due, in ms; -1 when none waits.
const SETTLE: &str = r"
if not may then return refusal() end
settle()
local first = redis.call('ZRANGE', leaving, 0, 0, 'WITHSCORES')
return first[2] and math.max(0, tonumber(first[2]) - now) or -1
";

const LIST: &str = r"
if not may then return refusal() end
settle()
local list, all = {}, redis.call('HGETALL', people)
for n = 1, #all, 2 do
  if string.sub(all[n], 1, 1) == 't' then
    list[#list + 1] = string.sub(all[n], 2)
    list[#list + 1] = all[n + 1]
  end
end
for _, user in ipairs(redis.call('ZRANGE', leaving, 0, -1)) do
  list[#list + 1] = user
  list[#list + 1] = '0'
end
return list
";

/// Answers which nodes have anybody in the room.
const NODES: &str = r"
local list, seen = {}, {}
for _, field in ipairs(redis.call('HKEYS', people)) do
  local node = string.match(field, '^n([^:]*):')
  if node and not seen[node] then
    seen[node] = true
    list[#list + 1] = node
  end
end
return list
";

/// KEYS: the nodes' leases. ARGV: node, how long a lease lasts in ms, life of the key in ms. Answers whether the lease
/// stood until now, some nodes whose lease has ended, and all nodes.
///
/// ORDER: a Redis without memory does not refuse a script whose first write needs none: nodes do not die of it.
const LEASE: &str = r"
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mine = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {
  mine and tonumber(mine) >= now and 'stood' or 'ended',
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 16),
  redis.call('ZRANGE', KEYS[1], 0, -1),
}
";

/// The scripts. Asked for seldom, they travel whole.
#[derive(Debug)]
pub(in super::super) struct Scripts {
    put: String,
    bury: String,
    settle: String,
    list: String,
    nodes: String,
}

/// What the scripts of a room are told.
pub(in super::super) struct Place<'a> {
    pub(in super::super) prefix: &'a str,
    pub(in super::super) room: &'a str,
    pub(in super::super) sharded: bool,
}

/// How long what a node wrote is kept. Nodes write all they have again within it.
pub(super) const LIFE_MS: u64 = 3_600_000;

// === impl Scripts ===

impl Scripts {
    pub(in super::super) fn new() -> Self {
        let script = |body: &str| {
            let text = [HEAD, body].concat();
            text.replace("USERS", &USERS.to_string()).replace("STEP", &STEP.to_string())
        };
        Self {
            put: script(PUT),
            bury: script(BURY),
            settle: script(SETTLE),
            list: script(LIST),
            nodes: script(NODES),
        }
    }

    pub(super) fn put(&self, place: &Place<'_>, user: &str, node: &str, count: u32, after_ms: u64) -> Cmd {
        let mut cmd = place.call(&self.put);
        cmd.arg(user).arg(node).arg(count).arg(after_ms);
        cmd
    }

    pub(super) fn bury(&self, place: &Place<'_>, node: &str, after_ms: u64) -> Cmd {
        let mut cmd = place.call(&self.bury);
        cmd.arg(node).arg(after_ms);
        cmd
    }

    pub(super) fn settle(&self, place: &Place<'_>) -> Cmd {
        place.call(&self.settle)
    }

    pub(super) fn nodes(&self, place: &Place<'_>) -> Cmd {
        place.call(&self.nodes)
    }

    pub(in super::super) fn list(&self, place: &Place<'_>) -> Cmd {
        place.call(&self.list)
    }

    pub(super) fn lease(nodes: &str, node: &str, lasts_ms: u64) -> Cmd {
        let mut cmd = ::redis::cmd("EVAL");
        cmd.arg(LEASE).arg(1).arg(nodes).arg(node).arg(lasts_ms).arg(LIFE_MS);
        cmd
    }
}

// === impl Place ===

impl Place<'_> {
    fn call(&self, text: &str) -> Cmd {
        let Self { prefix, room, sharded } = self;
        let mut cmd = ::redis::cmd("EVAL");
        cmd.arg(text).arg(3).arg(format!("{prefix}{{{room}}}p")).arg(format!("{prefix}{{{room}}}pl"));
        cmd.arg(super::super::scripts::channel(prefix, room));
        cmd.arg(if *sharded { "SPUBLISH" } else { "PUBLISH" }).arg(LIFE_MS);
        cmd
    }
}

/// Reads a list, sorted by user id.
pub(in super::super) fn members(value: Value) -> RedisResult<Vec<Member>> {
    let flat: Vec<String> = ::redis::from_redis_value(value)?;
    let pairs = flat.chunks_exact(2);
    let member =
        |pair: &[String]| Member { user_id: pair[0].clone(), connections: pair[1].parse().unwrap_or(0) };
    let mut list: Vec<Member> = pairs.map(member).collect();
    list.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
    Ok(list)
}
