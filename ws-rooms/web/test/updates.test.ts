// The same as a loop; and what the compiler knows of events.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { RoomEvent, RoomsError } from "../src/index.js";
import { event, opened, settled, World } from "./support/world.js";

type Paid = RoomEvent<"payments.payment.completed", { amount: string }>;
type News = RoomEvent<"news", { title: string }>;
interface Events {
  broadcast: News;
  [payment: `payment:${string}`]: Paid;
}

test("a loop hears everything since it subscribed, and leaving it leaves the room", async () => {
  const { world, client, peer } = await opened();
  const updates = client.subscribe("payment:1");
  peer.receive({ type: "subscribed", id: peer.next()["id"], room: "payment:1", epoch: "e", offset: 0, events: [] });
  peer.receive(event("payment:1", 1));
  const heard: string[] = [];
  for await (const update of updates) {
    heard.push(update.kind);
    if (update.kind === "live") peer.receive(event("payment:1", 2));
    if (heard.length === 3) break;
  }
  assert.deepEqual(heard, ["live", "event", "event"]);
  await world.advance(1_000);
  assert.equal(peer.next()["type"], "unsubscribe");
});

test("a loop waits for what comes later, and ends with its room", async () => {
  const { client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const heard: string[] = [];
  const loop = (async () => {
    for await (const update of client.subscribe("broadcast")) heard.push(update.kind);
  })();
  await settled();
  peer.receive(event("broadcast", 1));
  await settled();
  peer.receive({ type: "unsubscribed", room: "broadcast", reason: "forbidden" });
  await loop;
  assert.deepEqual(heard, ["live", "event", "ended"]);
});

test("a loop that is too slow loses the oldest, and a gap says so in their place", async () => {
  const { client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const updates = client.subscribe("broadcast");
  for (let offset = 1; offset <= 1_000; offset += 1) peer.receive(event("broadcast", offset));
  const heard: unknown[] = [];
  for await (const update of updates) {
    heard.push(update.kind === "event" ? update.offset : update.kind);
    if (heard.at(-1) === 1_000) break;
  }
  assert.equal(heard.length, 512);
  assert.deepEqual(heard.slice(0, 3), ["gap", 490, 491]);
});

test("a whole recovery waits for a loop, and what was heard before it too", async () => {
  const { world, client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const updates = client.subscribe("broadcast");
  peer.end(1006);
  await world.advance(1_000);
  world.peer.welcome([{ room: "broadcast", epoch: "e", offset: 256 }]);
  const events = Array.from({ length: 256 }, (_, n) => ({ offset: n + 1, event: { id: `e${n}`, type: "t" } }));
  const { id } = world.peer.next();
  world.peer.receive({ type: "subscribed", id, room: "broadcast", epoch: "e", offset: 256, recovered: true, events });
  const heard: string[] = [];
  for (let n = 0; n < 258; n += 1) heard.push((await updates.next()).value!.kind);
  assert.deepEqual([heard[0], heard[1], heard.at(-1), heard.includes("gap")], ["live", "event", "live", false]);
});

test("return ends whoever waits", async () => {
  const { client } = await opened({}, []);
  const updates = client.subscribe("broadcast");
  const next = updates.next();
  await updates.return();
  assert.deepEqual(await next, { value: undefined, done: true });
  assert.deepEqual(await updates.next(), { value: undefined, done: true });
});

test("requests are given up by their signal", async () => {
  const { client, peer } = await opened();
  const abort = new AbortController();
  const members = client.presence("payment:1", { signal: abort.signal });
  const reason = new Error("no longer on the page");
  const { id } = peer.next();
  abort.abort(reason);
  await assert.rejects(members, reason);
  await assert.rejects(client.presence("payment:1", { signal: abort.signal }), reason);
  peer.receive({ type: "presence", id, room: "payment:1", members: [] });
  const again = client.presence("payment:1");
  peer.receive({ type: "presence", id: peer.next()["id"], room: "payment:1", members: [{ userId: "bob", connections: 2 }] });
  assert.deepEqual(await again, { members: [{ userId: "bob", connections: 2 }], total: 1 });
  const many = client.presence("payment:1");
  peer.receive({ type: "presence", id: peer.next()["id"], room: "payment:1", members: [], total: 1_500 });
  assert.equal((await many).total, 1_500);
});

test("a question that has ended makes room for another", async () => {
  const { world, client } = await opened();
  for (let round = 0; round < 2; round += 1) {
    const questions = Array.from({ length: 100 }, (_, n) => client.presence(`payment:${n}`));
    const ended = Promise.allSettled(questions);
    await world.advance(30_000);
    assert.deepEqual(new Set((await ended).map((end) => end.status === "rejected" && end.reason.code)), new Set(["TIMEOUT"]));
    world.peer.inbox.length = 0;
    world.peer.receive({ type: "ping" });
  }
});

test("an error of the server is one of the request", async () => {
  const { client, peer } = await opened();
  const members = client.presence("payment:1");
  peer.receive({ type: "error", id: peer.next()["id"], code: "BUSY", message: "wait", retry: true });
  await assert.rejects(members, (error: RoomsError) => error.code === "BUSY" && error.retry && error.message === "wait");
});

test("events have their rooms' types", () => {
  const client = new World().client<Events>();
  client.on("payment:42", ({ kind, ...update }) => {
    if (kind === "event") void update;
  });
  client.on("payment:42", { event: ({ event }) => event.data.amount.length });
  client.on("broadcast", (update) => {
    if (update.kind === "event") update.event.data.title.length;
  });
  client.onAny({ event: ({ event }) => (event.type === "news" ? event.data : event.data) });
  // @ts-expect-error A payment has no title.
  client.on("payment:42", { event: ({ event }) => event.data.title });
  // @ts-expect-error There is no such room.
  client.on("elsewhere", () => {});
});

test("states are watched, and a watcher that throws is told of", async () => {
  const world = new World();
  const client = world.client();
  const phases: string[] = [];
  const watcher = ({ phase }: { phase: string }) => void phases.push(phase);
  const stop = client.watch(watcher);
  client.watch(() => {
    throw new Error("a bug");
  });
  client.open();
  await settled();
  world.peer.welcome();
  assert.deepEqual(phases, ["opening", "recovering", "open"]);
  assert.equal(world.reported.length, 3);
  assert.equal(client.state, client.state);
  stop();
  client.close();
  assert.equal(phases.length, 3);
});
