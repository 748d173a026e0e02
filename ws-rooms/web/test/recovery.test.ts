// Many rooms and many listeners: the pace of a recovery, who is told what, and the end of it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Pace } from "../src/pace.js";
import { Recent } from "../src/recent.js";
import { event, opened, phase, settled, World } from "./support/world.js";

test("a hundred rooms come back below the server's pace, eight questions at a time", async () => {
  const { world, client } = await opened();
  for (let n = 0; n < 100; n += 1) client.on(`payment:${n}`, () => {});
  world.peer.end(4202);
  await world.advance(1_000);
  const { peer } = world;
  peer.welcome();
  assert.equal(peer.inbox.length, 8);
  // The server's own bucket: 20 a second, of which it holds one second's.
  let bucket = 20;
  let answered = 0;
  for (let ms = 0; answered < 100; ms += 50) {
    assert.ok(ms < 10_000, "a recovery of 100 rooms is over in ten seconds");
    assert.ok(peer.inbox.length <= 8);
    bucket = Math.min(20, bucket + 1) - peer.inbox.length;
    assert.ok(bucket >= 0, `the server would have cut us off after ${ms} ms`);
    assert.equal(phase(client.state), "recovering");
    for (const { id, room } of peer.inbox.splice(0)) {
      answered += 1;
      peer.receive({ type: "subscribed", id, room, epoch: "e", offset: 0, events: [] });
    }
    // What answers have asked for belongs to the next turn.
    await world.advance(50);
  }
  assert.equal(phase(client.state), "open");
});

test("256 ids are remembered, the last 32 events whole", () => {
  const recent = new Recent();
  for (let n = 1; n <= 300; n += 1) recent.event("a", { id: `e${n}`, type: "t", data: n });
  assert.deepEqual(recent.position("b", "e269"), { id: "e269", type: "t", data: 269 });
  assert.equal(recent.position("b", "e268"), undefined);
  assert.equal(recent.position("a", "e45"), "heard");
  assert.equal(recent.position("a", "e44"), undefined);
});

test("a quiet minute saves up no more than one second's messages", () => {
  let now = 0;
  const pace = new Pace(20, () => now);
  now = 60_000;
  for (let n = 0; n < 16; n += 1) {
    assert.equal(pace.wait(), 0);
    pace.take();
  }
  assert.equal(pace.wait(), 63);
  // A clock that is set back takes nothing away for good.
  now = 0;
  assert.equal(pace.wait(), 63);
  now = 63;
  assert.equal(pace.wait(), 0);
});

test("a socket that does not send is given nothing more", async () => {
  const { world, client, peer } = await opened();
  peer.bufferedAmount = 262_145;
  client.on("payment:1", () => {});
  await world.advance(1_000);
  assert.deepEqual(peer.inbox, []);
  peer.bufferedAmount = 0;
  await world.advance(100);
  assert.equal(peer.inbox.length, 1);
});

test("two listeners are one subscription, and the same function may listen twice", async () => {
  const { world, client, peer } = await opened();
  let heard = 0;
  const listener = () => (heard += 1);
  const first = client.on("payment:1", listener);
  const second = client.on("payment:1", listener);
  const { id } = peer.next();
  assert.deepEqual(peer.inbox, []);
  peer.receive({ type: "subscribed", id, room: "payment:1", epoch: "e", offset: 0, events: [] });
  assert.equal(heard, 2);
  first();
  first();
  await world.advance(1_000);
  peer.receive(event("payment:1", 1));
  assert.equal(heard, 3);
  second();
  await world.advance(1_000);
  assert.equal(peer.next()["type"], "unsubscribe");
});

test("a room stays a second after the last listener, not after one before", async () => {
  const { world, client, peer } = await opened();
  const stop = client.on("payment:1", () => {});
  peer.receive({ type: "subscribed", id: peer.next()["id"], room: "payment:1", epoch: "e", offset: 5, events: [] });
  stop();
  await world.advance(500);
  client.on("payment:1", () => {})();
  await world.advance(999);
  assert.deepEqual(peer.inbox, []);
  await world.advance(1);
  assert.equal(peer.next()["type"], "unsubscribe");
});

test("a room that is wanted again while it is being left is asked for again, from its place", async () => {
  const { world, client, peer } = await opened();
  const stop = client.on("payment:1", () => {});
  peer.receive({ type: "subscribed", id: peer.next()["id"], room: "payment:1", epoch: "e", offset: 5, events: [] });
  stop();
  await world.advance(1_000);
  const left = peer.next();
  const heard: string[] = [];
  client.on("payment:1", ({ kind }) => heard.push(kind));
  const again = peer.next();
  assert.deepEqual(again["since"], { epoch: "e", offset: 5 });
  peer.receive({ type: "unsubscribed", id: left["id"], room: "payment:1" });
  peer.receive({ type: "subscribed", id: again["id"], room: "payment:1", epoch: "e", offset: 5, recovered: true, events: [] });
  peer.receive(event("payment:1", 6));
  assert.deepEqual(heard, ["live", "event"]);
});

test("a room that is wanted again before anybody told the server is not left", async () => {
  const { world, client, peer } = await opened();
  const stop = client.on("payment:1", () => {});
  peer.receive({ type: "subscribed", id: peer.next()["id"], room: "payment:1", epoch: "e", offset: 5, events: [] });
  peer.bufferedAmount = 300_000;
  stop();
  await world.advance(1_000);
  const heard: string[] = [];
  client.on("payment:1", ({ kind }) => heard.push(kind));
  peer.bufferedAmount = 0;
  await world.advance(100);
  peer.receive(event("payment:1", 6));
  assert.deepEqual(heard, ["live", "event"]);
  assert.deepEqual(peer.inbox, []);
});

test("an answer to an earlier question does not count twice", async () => {
  const { client, peer } = await opened();
  client.on("payment:1", () => {});
  const first = peer.next();
  peer.receive({ type: "unsubscribed", room: "payment:1", reason: "forbidden" });
  const heard: string[] = [];
  client.on("payment:1", ({ kind }) => heard.push(kind));
  const second = peer.next();
  for (const { id } of [first, second]) {
    peer.receive({ type: "subscribed", id, room: "payment:1", epoch: "e", offset: 5, events: [] });
  }
  assert.deepEqual(heard, ["live"]);
});

test("a room that the server gave, and gives no longer, is asked for and left like any other", async () => {
  const { world, client, peer } = await opened({}, [{ room: "role:admin", epoch: "e", offset: 4 }]);
  const stop = client.on("role:admin", () => {});
  peer.end(1006);
  await world.advance(1_000);
  world.peer.welcome([]);
  const { id, since } = world.peer.next();
  assert.deepEqual(since, { epoch: "e", offset: 4 });
  world.peer.receive({ type: "subscribed", id, room: "role:admin", epoch: "e", offset: 4, recovered: true, events: [] });
  stop();
  await world.advance(1_000);
  assert.equal(world.peer.next()["type"], "unsubscribe");
});

test("a room that cannot be told now is asked for again, whatever the clock shows", async () => {
  // A timer that is early by a millisecond, and a clock that was set back.
  for (const skew of [-1, -3_600_000]) {
    const { world, client, peer } = await opened();
    client.on("payment:1", () => {});
    const refuse = () => {
      peer.receive({ type: "error", id: peer.next()["id"], code: "UNAVAILABLE", message: "later", retry: true });
    };
    refuse();
    world.skew = skew;
    await world.advance(1_999);
    assert.deepEqual(peer.inbox, []);
    await world.advance(1);
    refuse();
    await world.advance(2_000);
    assert.equal(peer.next()["type"], "subscribe");
  }
});

test("a refusal's time ends with its connection, and with its room", async () => {
  const { world, client, peer } = await opened();
  const refuse = (peer: typeof world.peer) => {
    peer.receive({ type: "error", id: peer.next()["id"], code: "UNAVAILABLE", message: "later", retry: true });
  };
  client.on("payment:1", () => {});
  refuse(peer);
  peer.end(1006);
  await world.advance(1_000);
  world.peer.welcome();
  refuse(world.peer);
  const stop = client.on("payment:2", () => {});
  refuse(world.peer);
  stop();
  await world.advance(1_000);
  // The first refusals' time is over now, and soon the second one's.
  client.on("payment:2", () => {});
  refuse(world.peer);
  await world.advance(999);
  assert.deepEqual(world.peer.inbox, []);
  await world.advance(1);
  assert.equal(world.peer.next()["room"], "payment:1");
  await world.advance(999);
  assert.deepEqual(world.peer.inbox, []);
  await world.advance(1);
  assert.equal(world.peer.next()["room"], "payment:2");
});

test("of two refusals on one connection the later one counts", async () => {
  const { world, client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 1 }]);
  client.on("broadcast", () => {});
  const refuse = () => {
    peer.receive({ type: "error", id: peer.next()["id"], code: "UNAVAILABLE", message: "later", retry: true });
  };
  peer.receive(event("broadcast", 3));
  refuse();
  await world.advance(1_000);
  // The server tells of the room by itself, so it is asked for at once.
  peer.receive({ type: "subscribed", room: "broadcast", epoch: "e", offset: 5, events: [] });
  refuse();
  await world.advance(1_999);
  assert.deepEqual(peer.inbox, []);
  await world.advance(1);
  assert.deepEqual(peer.next()["since"], { epoch: "e", offset: 1 });
});

test("a refusal for now of a room that was taken away meanwhile puts off nothing", async () => {
  const { client, peer } = await opened();
  for (let n = 1; n <= 8; n += 1) client.on(`payment:${n}`, {});
  const { id } = peer.inbox[0]!;
  peer.inbox.length = 0;
  peer.receive({ type: "unsubscribed", room: "payment:1", reason: "forbidden" });
  // As many questions as may be are under way: it waits for its turn.
  client.on("payment:1", {});
  assert.deepEqual(peer.inbox, []);
  peer.receive({ type: "error", id, code: "UNAVAILABLE", message: "later", retry: true });
  assert.equal(peer.next()["room"], "payment:1");
});

test("a room that the server gives while it waits to be asked for is not asked for", async () => {
  const { world, client, peer } = await opened();
  client.on("payment:1", {});
  peer.receive({ type: "error", id: peer.next()["id"], code: "UNAVAILABLE", message: "later", retry: true });
  peer.receive({ type: "subscribed", room: "payment:1", epoch: "e", offset: 5, events: [] });
  await world.advance(3_000);
  assert.deepEqual(peer.inbox, []);
});

test("stopping twice is stopping once", async () => {
  const { world, client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const stop = client.on("broadcast", {});
  const before = world.timers;
  stop();
  stop();
  assert.equal(world.timers, before + 1);
  await world.advance(1_000);
  assert.deepEqual(peer.inbox, []);
});

test("who stops before the answer leaves after it", async () => {
  const { world, client, peer } = await opened();
  client.on("payment:1", () => {})();
  const { id } = peer.next();
  await world.advance(1_000);
  assert.deepEqual(peer.inbox, []);
  peer.receive({ type: "subscribed", id, room: "payment:1", epoch: "e", offset: 0, events: [] });
  assert.equal(peer.next()["type"], "unsubscribe");
});

test("a listener that throws is told of, and costs nobody else anything", async () => {
  const { world, client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const heard: number[] = [];
  client.on("broadcast", {
    event() {
      throw new Error("a bug");
    },
  });
  client.on("broadcast", { event: ({ offset }) => heard.push(offset) });
  peer.receive(event("broadcast", 1));
  peer.receive(event("broadcast", 2));
  assert.deepEqual(heard, [1, 2]);
  assert.equal(world.reported.length, 2);
});

test("a listener may stop itself and others while it is called", async () => {
  const { client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const heard: string[] = [];
  const stops: (() => void)[] = [];
  stops.push(client.on("broadcast", { event: () => (heard.push("a"), stops.forEach((stop) => stop())) }));
  stops.push(client.on("broadcast", { event: () => heard.push("b") }));
  peer.receive(event("broadcast", 1));
  peer.receive(event("broadcast", 2));
  assert.deepEqual(heard, ["a"]);
});

test("nothing is told after the end", async () => {
  const { client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const heard: string[] = [];
  const listen = (name: string) => (update: { kind: string }) => heard.push(`${name} ${update.kind}`);
  // The first closes while all three are being told.
  client.on("broadcast", { event: () => client.close() });
  client.on("broadcast", listen("second"));
  client.onAny(listen("any"));
  peer.receive(event("broadcast", 1));
  assert.deepEqual(heard, ["second live", "second ended", "any ended"]);
});

test("an answer is not told on when its first event ends the client", async () => {
  const { client, peer } = await opened();
  const heard: string[] = [];
  client.on("payment:1", (update) => {
    heard.push(update.kind);
    if (update.kind !== "event") return;
    client.close();
    client.onAny(({ kind }) => heard.push(`any ${kind}`));
  });
  const events = [1, 2].map((offset) => ({ offset, event: { id: `e${offset}`, type: "t" } }));
  peer.receive({ type: "subscribed", id: peer.next()["id"], room: "payment:1", epoch: "e", offset: 2, events });
  assert.deepEqual(heard, ["event", "ended"]);
  assert.equal(client.place("payment:1"), undefined);
});

test("whoever is stopped by another's end hears of none", async () => {
  const { client } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const heard: string[] = [];
  const stops: (() => void)[] = [];
  client.on("broadcast", { ended: () => stops[0]!() });
  stops.push(client.on("broadcast", { ended: () => heard.push("ended") }));
  client.close();
  assert.deepEqual(heard, []);
});

test("closing while the welcome is told leaves nothing behind", async () => {
  const places = ["broadcast", "role:admin"].map((room) => ({ room, epoch: "e", offset: 4 }));
  for (const closes of ["watcher", "listener", "any"]) {
    const world = new World();
    const client = world.client();
    if (closes === "watcher") client.watch(({ phase }) => phase === "recovering" && client.close());
    if (closes === "listener") client.on("broadcast", { live: () => client.close() });
    if (closes === "any") client.onAny({ live: () => client.close() });
    client.open();
    await settled();
    world.peer.welcome(places);
    assert.equal(phase(client.state), "stopped: closed");
    assert.deepEqual(places.map(({ room }) => client.place(room)), [undefined, undefined]);
    assert.equal(world.timers, 0);
  }
});

test("what an answer still had when a listener closed is new to whoever opens next", async () => {
  const { world, client, peer } = await opened();
  client.on("payment:1", { event: () => client.close() });
  const events = [1, 2].map((offset) => ({ offset, event: { id: `e${offset}`, type: "t" } }));
  peer.receive({ type: "subscribed", id: peer.next()["id"], room: "payment:1", epoch: "e", offset: 2, events });
  client.open();
  await settled();
  world.peer.welcome([{ room: "payment:1", epoch: "e", offset: 1 }]);
  const heard: string[] = [];
  client.onAny({ event: ({ event }) => heard.push(event.id) });
  world.peer.receive(event("payment:1", 2, "e2"));
  assert.deepEqual(heard, ["e2"]);
});

test("what was heard before closing is new to whoever opens next", async () => {
  const places = ["broadcast", "role:admin"].map((room) => ({ room, epoch: "e", offset: 0 }));
  const { world, client, peer } = await opened({}, places);
  peer.receive(event("broadcast", 1, "a"));
  client.close();
  client.open();
  await settled();
  world.peer.welcome(places);
  const heard: string[] = [];
  client.onAny(({ kind, room }) => heard.push(`${kind} ${room}`));
  client.on("role:admin", { gap: ({ reason }) => heard.push(reason), event: () => heard.push("somebody else's event") });
  world.peer.receive({ type: "position", room: "role:admin", offset: 1, id: "a" });
  world.peer.receive(event("broadcast", 1, "a"));
  assert.deepEqual(heard, ["elsewhere", "gap role:admin", "event broadcast"]);
});

test("whoever opens while the end is told keeps what it wants then", async () => {
  for (const opens of ["watcher", "listener", "any"] as const) {
    const { world, client } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
    const heard: string[] = [];
    let members: Promise<unknown> | undefined;
    const anew = () => {
      client.open();
      client.on("payment:1", ({ kind }) => heard.push(kind));
      client.onAny(({ kind, room }) => heard.push(`any ${kind} ${room}`));
      members = client.presence("payment:1");
    };
    client.on("broadcast", opens === "listener" ? { ended: anew } : {});
    client.on("payment:9", {});
    if (opens === "any") client.onAny({ ended: anew });
    if (opens === "watcher") client.watch(({ phase }) => phase === "stopped" && anew());
    const states: string[] = [];
    client.watch(({ phase }) => states.push(phase));
    client.close();
    await settled();
    assert.equal(world.peers.length, 2);
    // Who was told later is not told of a state that was over.
    assert.deepEqual(states, ["opening"], opens);
    world.peer.welcome();
    const { id, room } = world.peer.next();
    assert.equal(room, "payment:1");
    assert.deepEqual(heard, []);
    world.peer.receive({ type: "subscribed", id, room, epoch: "p", offset: 0, events: [] });
    assert.deepEqual(heard, ["live", "any live payment:1"]);
    world.peer.receive({ type: "presence", id: world.peer.next()["id"], room, members: [] });
    assert.deepEqual(await members, { members: [], total: 0 });
  }
});

test("a listener to everything that is stopped by a room's end hears of none", async () => {
  const { client } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 0 }]);
  const heard: string[] = [];
  const stop = client.onAny(({ kind }) => heard.push(kind));
  client.on("broadcast", { ended: stop });
  client.close();
  assert.deepEqual(heard, []);
});

test("closing ends subscriptions, fails what waits, and forgets places", async () => {
  const { world, client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 4 }]);
  const heard: string[] = [];
  client.on("broadcast", { ended: ({ code }) => heard.push(code) });
  client.onAny({ ended: ({ room }) => heard.push(room) });
  const members = assert.rejects(client.presence("broadcast"), { name: "RoomsError", code: "CLOSED" });
  client.close();
  await members;
  assert.deepEqual(heard, ["CLOSED", "*"]);
  assert.equal(client.place("broadcast"), undefined);
  assert.equal(peer.closed, 1000);
  assert.equal(world.timers, 0);
});
