// BentoCache under load: the same rows, the same line of JSON at the end as the programs in Rust.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { BentoCache, bentostore } from "bentocache";
import { memoryDriver } from "bentocache/drivers/memory";
import { redisBusDriver, redisDriver } from "bentocache/drivers/redis";

// As in `measure::cache`.
const VALUE = "v".repeat(256);
const PROCESSES = 4;
const TASKS = 250;
const LOAD_MS = 100;
const HITS = 100_000;
const LOOKS = 7;
const MISSES = 1000;
const PAUSE_MS = 3;
const LONG_MS = 10_000;
const STALE = 200;
const FRESH_MS = 500;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string" },
    redis: { type: "string" },
    quick: { type: "boolean", default: false },
    child: { type: "boolean", default: false },
  },
});
const times = (full) => (values.quick ? Math.floor(full / 10) : full);

function cache() {
  const { hostname, port } = new URL(values.url);
  // Else a command waits for a Redis that is away as long as it takes to connect twenty times.
  const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: 1 };
  return new BentoCache({
    default: "profiles",
    ttl: "1h",
    l2CircuitBreakerDuration: "2s",
    stores: {
      profiles: bentostore()
        .useL1Layer(memoryDriver({ maxSize: "16mb" }))
        .useL2Layer(redisDriver({ connection }))
        .useBus(redisBusDriver({ connection })),
    },
  });
}

const key = (number) => `user:${String(number).padStart(8, "0")}:profile`;

function percentiles(name, samples) {
  samples.sort((one, other) => one - other);
  const at = (percent) => samples[Math.max(Math.ceil((samples.length * percent) / 100), 1) - 1];
  return { [`${name}p50`]: at(50), [`${name}p99`]: at(99), [`${name}max`]: at(100) };
}

const median = (values) => values.sort((one, other) => one - other)[Math.floor(values.length / 2)];

/** How long a call takes, in µs, and whether it fails. */
async function timed(call) {
  const started = performance.now();
  let failed = 0;
  try {
    await call();
  } catch {
    failed = 1;
  }
  return [(performance.now() - started) * 1000, failed];
}

async function stampede() {
  const children = Array.from({ length: PROCESSES }, () => {
    const child = spawn(process.execPath, [...process.argv.slice(1), "--child"], { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const hear = async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error("a child ended");
      return value;
    };
    return { child, hear };
  });
  for (const { hear } of children) await hear();
  let most = 0;
  const over = [];
  for (let number = 0; number < times(10); number += 1) {
    const started = performance.now();
    for (const { child } of children) child.stdin.write(`stampede-${process.pid}-${number}\n`);
    let loads = 0;
    for (const { hear } of children) loads += Number(await hear());
    over.push(performance.now() - started - LOAD_MS);
    most = Math.max(most, loads);
  }
  for (const { child } of children) child.kill();
  return { loads: most, over: median(over) };
}

async function stampeding() {
  const profiles = cache();
  await sleep(200);
  console.log("ready");
  for await (const key of createInterface({ input: process.stdin })) {
    let loads = 0;
    const factory = async () => {
      loads += 1;
      await sleep(LOAD_MS);
      return VALUE;
    };
    const all = await Promise.all(Array.from({ length: TASKS }, () => profiles.getOrSet({ key, factory })));
    if (all.some((value) => value !== VALUE)) throw new Error("not the value");
    console.log(String(loads));
  }
}

async function killed() {
  const profiles = cache();
  await sleep(200);
  const failed = async () => {
    throw new Error("the database is away too");
  };
  const old = { ttl: FRESH_MS, grace: "1h", graceBackoff: "1s" };
  for (let number = 0; number < STALE; number += 1) {
    await profiles.getOrSet({ key: key(10 + number), factory: () => VALUE, ...old });
  }
  await profiles.set({ key: key(1), value: VALUE });
  const look = async () => {
    const looks = [];
    for (let number = 0; number < LOOKS; number += 1) {
      const started = performance.now();
      for (let hit = 0; hit < HITS; hit += 1) await profiles.getOrSet({ key: key(1), factory: failed });
      looks.push(((performance.now() - started) * 1e6) / HITS);
    }
    return median(looks);
  };
  const miss = (number) => timed(() => profiles.getOrSet({ key: key(1000 + number), factory: () => VALUE }));
  let errors = 0;
  const misses = async (from) => {
    const samples = [];
    const began = performance.now();
    for (let number = 0; number < times(MISSES) && performance.now() - began < LONG_MS; number += 1) {
      const [took, failed] = await miss(from + number);
      samples.push(took);
      errors += failed;
      await sleep(PAUSE_MS);
    }
    return samples;
  };
  const hitBefore = await look();
  const before = percentiles("", await misses(0));
  process.kill(Number(values.redis), "SIGKILL");
  const [first, firstFailed] = await miss(times(MISSES));
  errors += firstFailed;
  const hitAfter = await look();
  const after = percentiles("miss_", await misses(times(MISSES) + 1));
  await sleep(FRESH_MS);
  const samples = [];
  const began = performance.now();
  for (let number = 0; number < STALE && performance.now() - began < LONG_MS; number += 1) {
    const [took, failing] = await timed(() => profiles.getOrSet({ key: key(10 + number), factory: failed, ...old }));
    samples.push(took);
    errors += failing;
  }
  return {
    hit_before: hitBefore,
    hit_after: hitAfter,
    miss_before: before.p50,
    first: first / 1000,
    ...after,
    ...percentiles("stale_", samples),
    errors,
  };
}

const rows = { stampede: values.child ? stampeding : stampede, "redis-killed": killed };
const row = rows[positionals[0]];
if (row === undefined) throw new Error(`BentoCache does not take part in ${positionals[0]}`);
const figures = await row();
if (figures !== undefined) console.log(JSON.stringify(figures));
process.exit(0);
