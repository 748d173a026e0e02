// A connection's life: silence, waking, renewal, and its end.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Credential } from "../src/index.js";
import { credentials, event, opened, phase, settled } from "./support/world.js";

test("a link that says nothing for the heartbeat and ten seconds is dead", async () => {
  const { world, client, peer } = await opened();
  await world.advance(34_999);
  assert.equal(phase(client.state), "open");
  await world.advance(1);
  assert.equal(phase(client.state), "waiting");
  assert.equal(peer.closed, "no code");
});

test("whatever comes arms the timer anew", async () => {
  const { world, client, peer } = await opened();
  for (const frame of [{ type: "ping" }, event("broadcast", 1), { type: "of tomorrow" }]) {
    await world.advance(34_999);
    peer.receive(frame);
  }
  await world.advance(34_999);
  assert.equal(phase(client.state), "open");
  assert.equal(world.peers.length, 1);
  await world.advance(1);
  assert.equal(phase(client.state), "waiting");
});

test("there is one timer, however much comes", async () => {
  const { world, peer } = await opened();
  const before = world.timers;
  for (let offset = 1; offset < 100; offset += 1) peer.receive(event("broadcast", offset));
  assert.equal(world.timers, before);
});

test("after a sleep the link is asked before it is taken for dead", async () => {
  const { world, client, peer } = await opened();
  await world.advance(20_000);
  world.sleep(3_600_000);
  await world.advance(0);
  assert.equal(phase(client.state), "open");
  assert.equal(peer.next()["type"], "ping");
  peer.receive({ type: "pong", id: "1" });
  await world.advance(34_999);
  assert.equal(phase(client.state), "open");

  world.sleep(3_600_000);
  await world.advance(0);
  assert.equal(peer.next()["type"], "ping");
  await world.advance(4_999);
  assert.equal(phase(client.state), "open");
  await world.advance(1);
  assert.equal(phase(client.state), "waiting");
});

test("waking asks for a sign of life, once, and five seconds decide", async () => {
  const { world, client, peer } = await opened();
  world.wake?.();
  await world.advance(3_000);
  // A network that flaps does not keep a dead link.
  world.wake?.();
  assert.equal(peer.inbox.length, 1);
  await world.advance(1_999);
  assert.equal(phase(client.state), "open");
  await world.advance(1);
  assert.equal(phase(client.state), "waiting");
});

test("any frame is a sign of life", async () => {
  const { world, client, peer } = await opened();
  world.wake?.();
  await world.advance(4_000);
  peer.receive(event("broadcast", 1));
  await world.advance(30_000);
  assert.equal(phase(client.state), "open");
});

test("waking shortens a wait of our own, not one that the server asked for", async () => {
  const { world, client } = await opened();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    world.peer.end(1006);
    await settled();
    if (attempt < 4 && client.state.phase === "waiting") await world.advance(client.state.delayMs);
  }
  assert.equal(client.state.phase === "waiting" && client.state.delayMs, 8_250);
  const before = world.peers.length;
  world.wake?.();
  await world.advance(400);
  // A network that flaps does not put it off.
  world.wake?.();
  await world.advance(99);
  assert.equal(world.peers.length, before);
  await world.advance(1);
  assert.equal(world.peers.length, before + 1);

  world.peer.welcome();
  world.peer.receive({ type: "goodbye", code: 4200, reason: "drain", retryAfterMs: 30_000 });
  world.wake?.();
  await world.advance(29_999);
  assert.equal(world.peers.length, before + 1);
  await world.advance(1);
  assert.equal(world.peers.length, before + 2);
});

test("the goodbye's code and delay count, though the browser sees 1006", async () => {
  const { world, client, peer } = await opened();
  peer.receive({ type: "goodbye", code: 4200, reason: "drain", retryAfterMs: 1_234 });
  peer.end(1006);
  assert.deepEqual(client.state, { phase: "waiting", attempt: 0, delayMs: 1_234, code: 4200 });
  await world.advance(1_233);
  assert.equal(world.peers.length, 1);
  await world.advance(1);
  assert.equal(world.peers.length, 2);
});

test("codes that say so stop, with their reason, and a dead client does nothing", async () => {
  for (const [code, reason] of [
    [4001, "unauthenticated"],
    [4003, "forbidden"],
    [4009, "revoked"],
    [4004, "protocol"],
    [1009, "protocol"],
    [1000, "refused"],
    [4077, "refused"],
  ] as const) {
    const { world, client, peer } = await opened();
    peer.end(code);
    assert.deepEqual(client.state, { phase: "stopped", reason, code });
    assert.equal(world.wake, undefined);
    await world.advance(3_600_000);
    assert.equal(world.peers.length, 1);
    assert.equal(world.timers, 0);
  }
});

test("4201: a new token first", async () => {
  const { credential, whys } = credentials("old", "new");
  const { world, peer } = await opened({ credential });
  peer.end(4201);
  await world.advance(500);
  assert.deepEqual(whys, ["open", "renew"]);
  assert.deepEqual(world.peer.protocols, ["tramline.v1", "bearer.new"]);
});

test("the token is renewed in place, and asked for once", async () => {
  let give: (token: Credential) => void = () => {};
  const whys: string[] = [];
  const { world, client, peer } = await opened({
    credential: (why) => {
      whys.push(why);
      return why === "open" ? "old" : new Promise((resolve) => (give = resolve));
    },
  });
  peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
  peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
  // The link breaks meanwhile: opening anew waits for the same answer.
  peer.end(1006);
  await world.advance(1_000);
  assert.deepEqual(whys, ["open", "renew"]);
  give("new");
  await settled();
  assert.deepEqual(world.peer.protocols, ["tramline.v1", "bearer.new"]);
  assert.deepEqual(peer.inbox, []);

  world.peer.welcome();
  world.peer.receive({ type: "ping", expiresAt: "2026-11-26T15:30:00Z" });
  give("newer");
  await settled();
  assert.deepEqual(world.peer.next(), { type: "auth", token: "newer", id: "1" });
  world.peer.receive({ type: "authenticated", id: "1", expiresAt: "2026-11-26T15:45:00Z" });
  assert.equal(phase(client.state), "open");
});

test("a renewal's rooms are places like the welcome's", async () => {
  const { credential } = credentials("old", "new", "newer");
  const { client, peer } = await opened({ credential }, [{ room: "user:ada", epoch: "e", offset: 3 }]);
  const heard: string[] = [];
  client.onAny((update) => heard.push(`${update.kind} ${update.room}`));
  peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
  await settled();
  const { id } = peer.next();
  // What came between our place and the answer's is in no frame: it is asked for.
  const rooms = [{ room: "user:ada", epoch: "e", offset: 4 }, { room: "role:vendor", epoch: "v", offset: 9 }];
  peer.receive({ type: "authenticated", id, expiresAt: "2026-11-26T15:30:00Z", rooms });
  assert.deepEqual(peer.next(), { type: "subscribe", room: "user:ada", since: { epoch: "e", offset: 3 }, id: "2" });
  assert.deepEqual(heard, ["live role:vendor"]);
  // Another renewal before the answer asks for nothing twice.
  peer.receive({ type: "ping", expiresAt: "2026-11-26T15:30:00Z" });
  await settled();
  peer.receive({ type: "authenticated", id: peer.next()["id"], expiresAt: "2026-11-26T15:45:00Z", rooms });
  assert.deepEqual(peer.inbox, []);
});

test("a renewal that is refused stops; one that cannot be told now is sent again", async () => {
  for (const [code, reason] of [
    ["TOKEN_REVOKED", "revoked"],
    ["UNAUTHENTICATED", "unauthenticated"],
    ["FORBIDDEN", "forbidden"],
  ] as const) {
    const { world, client, peer } = await opened(credentials("old", "new"));
    peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
    await settled();
    peer.receive({ type: "error", id: peer.next()["id"], code: "UNAVAILABLE", message: "later", retry: true });
    await world.advance(1_999);
    assert.deepEqual(peer.inbox, []);
    await world.advance(1);
    const again = peer.next();
    assert.equal(again["token"], "new");
    peer.receive({ type: "error", id: again["id"], code, message: "no", retry: false });
    assert.equal(phase(client.state), `stopped: ${reason}`);
    assert.equal(peer.closed, 1000);
  }
});

test("a renewal that brings an old token asks for another", async () => {
  const { credential, whys } = credentials("old", "older", "new");
  const { world, peer } = await opened({ credential });
  peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
  await settled();
  peer.receive({ type: "error", id: peer.next()["id"], code: "TOKEN_EXPIRED", message: "it has ended", retry: false });
  await world.advance(2_000);
  assert.equal(peer.next()["token"], "new");
  assert.deepEqual(whys, ["open", "renew", "renew"]);
});

test("however often the server says that the token ends, one renewal is under way", async () => {
  const { credential, whys } = credentials("old", "new", "newer");
  const { world, client, peer } = await opened({ credential });
  const ping = async () => {
    peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
    await settled();
  };
  await ping();
  await ping();
  let { id } = peer.next();
  assert.deepEqual(peer.inbox, []);
  peer.receive({ type: "error", id, code: "UNAVAILABLE", message: "later", retry: true });
  await ping();
  assert.deepEqual(peer.inbox, []);
  await world.advance(2_000);
  ({ id } = peer.next());
  assert.deepEqual(whys, ["open", "renew"]);
  peer.receive({ type: "authenticated", id, expiresAt: "2026-11-26T15:30:00Z" });
  await ping();
  assert.equal(peer.next()["token"], "newer");
  // Each link has its own.
  peer.end(1006);
  await world.advance(1_000);
  world.peer.welcome();
  world.peer.receive({ type: "ping", expiresAt: "2026-11-26T15:30:00Z" });
  await settled();
  assert.deepEqual(whys, ["open", "renew", "renew", "open", "renew"]);
  assert.equal(phase(client.state), "open");
});

test("a renewal that brings the same token again leaves it to the token's end", async () => {
  const { credential, whys } = credentials("old", "new", "new", "newest");
  const { world, client, peer } = await opened({ credential });
  const ping = async () => {
    peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
    await settled();
  };
  await ping();
  peer.receive({ type: "authenticated", id: peer.next()["id"], expiresAt: "2026-11-26T15:15:20Z" });
  for (let seconds = 0; seconds < 20; seconds += 1) {
    await ping();
    await world.advance(1_000);
  }
  assert.deepEqual(peer.inbox, []);
  assert.deepEqual(whys, ["open", "renew", "renew"]);
  peer.end(4201);
  await world.advance(500);
  assert.deepEqual(world.peer.protocols, ["tramline.v1", "bearer.newest"]);
  assert.equal(phase(client.state), "opening");
});

test("a source that fails is asked again while the connection lives; null ends it", async () => {
  const { credential, whys } = credentials("old", new Error("auth is away"), null);
  const { world, client, peer } = await opened({ credential });
  peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
  await settled();
  assert.equal(phase(client.state), "open");
  await world.advance(2_000);
  assert.deepEqual(whys, ["open", "renew", "renew"]);
  assert.equal(phase(client.state), "stopped: signed_out");
});

test("a frame that cannot be read costs the connection, not the place", async () => {
  const half = JSON.stringify({ type: "event", room: "broadcast", offset: 1.5, event: {} });
  for (const broken of ["{", "[]", half, new ArrayBuffer(2), new Blob(["{}"])]) {
    const { world, client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 1 }]);
    client.on("broadcast", () => {});
    if (typeof broken === "string") peer.receive(broken);
    else peer.onmessage?.({ data: broken });
    assert.equal(phase(client.state), "waiting");
    await world.advance(1_000);
    world.peer.welcome([{ room: "broadcast", epoch: "e", offset: 2 }]);
    assert.deepEqual(world.peer.next()["since"], { epoch: "e", offset: 1 });
  }
});

test("an answer that never comes costs the connection", async () => {
  const { world, client, peer } = await opened();
  client.on("payment:1", () => {});
  for (let seconds = 0; seconds < 59; seconds += 1) {
    await world.advance(1_000);
    peer.receive({ type: "ping" });
  }
  assert.equal(phase(client.state), "open");
  await world.advance(1_000);
  assert.equal(phase(client.state), "waiting");
});

test("a clock that is set back puts off no answer's time", async () => {
  const { world, client, peer } = await opened();
  client.on("payment:1", () => {});
  world.skew = -3_600_000;
  for (let seconds = 0; seconds < 59; seconds += 1) {
    await world.advance(1_000);
    peer.receive({ type: "ping" });
  }
  assert.equal(phase(client.state), "open");
  await world.advance(1_000);
  assert.equal(phase(client.state), "waiting");
  assert.equal(world.timers, 1);
});

test("the oldest question counts, and one that was answered does not", async () => {
  const { world, client, peer } = await opened();
  client.on("payment:1", () => {});
  await world.advance(1_000);
  client.on("payment:2", () => {});
  await world.advance(1_000);
  peer.receive({ type: "subscribed", id: peer.next()["id"], room: "payment:1", epoch: "e", offset: 0, events: [] });
  for (let seconds = 2; seconds < 60; seconds += 1) {
    await world.advance(1_000);
    peer.receive({ type: "ping" });
  }
  assert.equal(phase(client.state), "open");
  await world.advance(1_000);
  assert.equal(phase(client.state), "waiting");
});

test("what the old connection still says is not heard", async () => {
  const { world, client, peer } = await opened({}, [{ room: "broadcast", epoch: "e", offset: 1 }]);
  const heard: unknown[] = [];
  client.on("broadcast", { event: ({ offset }) => heard.push(offset) });
  world.wake?.();
  await world.advance(6_000);
  world.peer.welcome([{ room: "broadcast", epoch: "e", offset: 1 }]);
  peer.receive(event("broadcast", 2));
  peer.end(4009);
  assert.deepEqual(heard, []);
  assert.equal(phase(client.state), "open");
});

test("a renewal is not sent again on a connection that has gone", async () => {
  const { world, peer } = await opened(credentials("old", "new"));
  peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
  await settled();
  peer.receive({ type: "error", id: peer.next()["id"], code: "UNAVAILABLE", message: "later", retry: true });
  peer.end(1006);
  await world.advance(1_000);
  world.peer.welcome();
  await world.advance(3_000);
  assert.deepEqual([peer.inbox, world.peer.inbox], [[], []]);
});

test("a client that is closed while it waits stays away, and counts anew when it is opened", async () => {
  const { world, client, peer } = await opened();
  peer.end(1006);
  await world.advance(1_000);
  world.peer.end(1006);
  await settled();
  assert.equal(client.state.phase === "waiting" && client.state.attempt, 1);
  client.close();
  await world.advance(3_600_000);
  assert.equal(world.peers.length, 2);
  client.open();
  assert.deepEqual(client.state, { phase: "opening", attempt: 0 });
});
