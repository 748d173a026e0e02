// Opening: what travels where, and what a refusal leads to.

import assert from "node:assert/strict";
import { test } from "node:test";

import { credentials, opened, phase, settled, World } from "./support/world.js";

test("the token travels as a subprotocol, the URL is the page's", async () => {
  const { client, peer } = await opened();
  assert.equal(peer.url, "wss://bank.example/ws");
  assert.deepEqual(peer.protocols, ["tramline.v1", "bearer.token"]);
  assert.deepEqual(client.state, { phase: "open", userId: "ada", connectionId: "c1" });
});

test("http and ws, relative and absolute, are the same", async () => {
  for (const [url, socket] of [
    ["http://localhost:3000/ws", "ws://localhost:3000/ws"],
    ["ws://localhost:3000/ws", "ws://localhost:3000/ws"],
    ["wss://ws.example/ws?v=1", "wss://ws.example/ws?v=1"],
    ["live", "wss://bank.example/app/live"],
  ] as const) {
    const world = new World();
    world.client({ url }).open();
    await settled();
    assert.equal(world.peer.url, socket);
    world.peer.end(1006);
    await settled();
    assert.equal(world.asked[0]?.url, socket.replace("ws", "http"));
  }
});

test("a ticket travels in the query, and is never used up by asking why", async () => {
  const world = new World();
  const { credential, whys } = credentials({ ticket: "t1" }, { ticket: "t2" });
  const client = world.client({ credential }).open();
  await settled();
  assert.equal(world.peer.url, "wss://bank.example/ws?ticket=t1");
  assert.deepEqual(world.peer.protocols, ["tramline.v1"]);
  world.peer.end(1006);
  await settled();
  assert.equal(phase(client.state), "waiting");
  assert.deepEqual(world.asked, []);
  await world.advance(1_000);
  assert.equal(world.peer.url, "wss://bank.example/ws?ticket=t2");
  assert.deepEqual(whys, ["open", "open"]);
});

test("401: renews once, at once; a second one stops", async () => {
  const world = new World();
  world.answer = { status: 401 };
  const { credential, whys } = credentials("old", "new");
  const client = world.client({ credential }).open();
  await settled();
  world.peer.end(1006);
  await settled();
  assert.deepEqual(world.peer.protocols, ["tramline.v1", "bearer.new"]);
  world.peer.end(1006);
  await settled();
  assert.deepEqual(world.asked.map(({ authorization }) => authorization), ["Bearer old", "Bearer new"]);
  assert.deepEqual(whys, ["open", "renew"]);
  assert.equal(phase(client.state), "stopped: unauthenticated");
  assert.equal(world.peers.length, 2);
});

test("a later 401 is a first one again", async () => {
  const world = new World();
  world.answer = { status: 401 };
  const { credential, whys } = credentials("a");
  const client = world.client({ credential }).open();
  await settled();
  world.peer.end(1006);
  await settled();
  world.peer.welcome();
  world.peer.end(1006);
  await world.advance(1_000);
  world.peer.end(1006);
  await settled();
  assert.deepEqual(whys, ["open", "renew", "open", "renew"]);
  assert.equal(phase(client.state), "opening");
});

test("403 stops, 503 waits as long as it says, no answer backs off", async () => {
  for (const [answer, expected, delayMs] of [
    [{ status: 403 }, "stopped: forbidden", undefined],
    [{ status: 503, retryAfter: "7" }, "waiting", 7_500],
    [{ status: 426 }, "waiting", 750],
    [new Error("no network"), "waiting", 750],
  ] as const) {
    const world = new World();
    world.answer = answer;
    const client = world.client().open();
    await settled();
    world.peer.end(1006);
    await settled();
    assert.equal(phase(client.state), expected);
    assert.equal(client.state.phase === "waiting" ? client.state.delayMs : undefined, delayMs);
  }
});

test("a socket that fails and does not say that it is closed has failed", async () => {
  const world = new World();
  world.answer = { status: 403 };
  const client = world.client().open();
  await settled();
  const { peer } = world;
  peer.onerror?.({} as never);
  await settled();
  assert.equal(phase(client.state), "stopped: forbidden");
  // Most say so all the same.
  peer.end(1006);
  await settled();
  assert.equal(world.asked.length, 1);
});

test("a code of ours needs no question", async () => {
  const world = new World();
  const client = world.client().open();
  await settled();
  world.peer.receive({ type: "goodbye", code: 4101, reason: "too many connections" });
  await settled();
  assert.deepEqual(world.asked, []);
  assert.equal(phase(client.state), "waiting");
});

test("a connection that was welcomed and broke in the same moment was one", async () => {
  const { world, client, peer } = await opened();
  peer.end(1006);
  await settled();
  assert.deepEqual(world.asked, []);
  assert.equal(phase(client.state), "waiting");
});

test("without a welcome within ten seconds the opening has failed", async () => {
  const world = new World();
  const client = world.client().open();
  await world.advance(9_999);
  assert.equal(world.peer.closed, undefined);
  await world.advance(1);
  assert.equal(world.peer.closed, "no code");
  assert.equal(phase(client.state), "waiting");
});

test("a question that nobody answers is given up", async () => {
  const world = new World();
  let aborted = false;
  world.fetch = (_, { signal }: { headers: Record<string, string>; signal?: AbortSignal } = { headers: {} }) =>
    new Promise((_, reject) => {
      signal?.addEventListener("abort", () => {
        aborted = true;
        reject(new Error("aborted"));
      });
    });
  const client = world.client().open();
  await settled();
  world.peer.end(1006);
  await world.advance(10_000);
  assert.equal(aborted, true);
  assert.equal(phase(client.state), "waiting");
});

test("no credential: signed out; a credential that fails or hangs for now: again", async () => {
  const world = new World();
  const never = new Promise<null>(() => {});
  const error = new Error("auth is away");
  const { credential, whys } = credentials(error, never, null);
  const client = world.client({ credential }).open();
  await settled();
  assert.deepEqual(client.state, { phase: "waiting", attempt: 0, delayMs: 750, code: 1006, cause: error });
  await world.advance(750);
  assert.equal(phase(client.state), "opening");
  await world.advance(30_000);
  assert.equal(phase(client.state), "waiting");
  await world.advance(1_250);
  assert.equal(phase(client.state), "stopped: signed_out");
  assert.equal(whys.length, 3);
  assert.equal(world.peers.length, 0);
});

test("a token that cannot be sent stops, and is told", async () => {
  const world = new World();
  world.refusesSockets = true;
  const client = world.client().open();
  await settled();
  assert.equal(phase(client.state), "stopped: protocol");
  assert.equal(world.reported.length, 1);
});

test("a URL that is none stops, and is told; no answer at all is nobody signed in", async () => {
  const world = new World();
  const client = world.client({ url: "http://" }).open();
  await settled();
  assert.equal(phase(client.state), "stopped: protocol");
  assert.equal(world.reported.length, 1);
  const other = world.client({ credential: () => undefined as never }).open();
  await settled();
  assert.equal(phase(other.state), "stopped: signed_out");
});

test("what is under way when the client is closed comes to nothing", async () => {
  const world = new World();
  let answer: (token: string) => void = () => {};
  const client = world.client({ credential: () => new Promise((resolve) => (answer = resolve)) }).open();
  await settled();
  client.close();
  answer("token");
  await settled();
  assert.equal(world.peers.length, 0);
  assert.equal(phase(client.state), "stopped: closed");
});

test("who opens after a stop is not given the credential that was asked for before it", async () => {
  // A token of whoever was signed in before, and «nobody is», are both somebody else's answer.
  for (const late of ["of Ada", null]) {
    const world = new World();
    const answers: ((token: string | null) => void)[] = [];
    const whys: string[] = [];
    const credential = (why: string) => {
      whys.push(why);
      return new Promise<string | null>((resolve) => answers.push(resolve));
    };
    const client = world.client({ credential }).open();
    await settled();
    client.close();
    client.open();
    await settled();
    assert.deepEqual(whys, ["open", "open"]);
    answers[0]!(late);
    await settled();
    assert.equal(phase(client.state), "opening");
    assert.equal(world.peers.length, 0);
    answers[1]!("of Bob");
    await settled();
    assert.deepEqual(world.peers.map(({ protocols }) => protocols[1]), ["bearer.of Bob"]);
    assert.equal(world.timers, 1);
  }
});

test("a watcher that closes an opening leaves no question to whoever opens next", async () => {
  const world = new World();
  const { credential, whys } = credentials("of Bob");
  const client = world.client({ credential });
  const stop = client.watch(({ phase }) => phase === "opening" && client.close());
  client.open();
  await settled();
  assert.deepEqual(whys, []);
  stop();
  client.open();
  await settled();
  assert.deepEqual(whys, ["open"]);
  assert.equal(world.peers.length, 1);
});

test("a renewal is not answered by an opening of before a stop, which takes nothing from it either", async () => {
  const world = new World();
  const whys: string[] = [];
  const answers: ((token: string) => void)[] = [];
  const credential = (why: string) => {
    whys.push(why);
    return new Promise<string>((resolve) => answers.push(resolve));
  };
  const client = world.client({ credential }).open();
  client.close();
  client.open();
  answers[1]!("of Bob");
  await settled();
  world.peer.welcome();
  world.peer.receive({ type: "ping", expiresAt: "2026-11-26T15:15:00Z" });
  answers[0]!("of Ada");
  await settled();
  assert.deepEqual(world.peer.inbox, []);
  // The link breaks: opening anew waits for the renewal's answer.
  world.peer.end(1006);
  await world.advance(1_000);
  assert.deepEqual(whys, ["open", "open", "renew"]);
  answers[2]!("of Bob, new");
  await settled();
  assert.equal(world.peer.protocols[1], "bearer.of Bob, new");
});

test("an answer to why that comes after closing changes nothing", async () => {
  const world = new World();
  let answer: (response: { status: number; headers: { get(): null } }) => void = () => {};
  world.fetch = () => new Promise((resolve) => (answer = resolve));
  const client = world.client().open();
  await settled();
  world.peer.end(1006);
  await settled();
  client.close();
  answer({ status: 401, headers: { get: () => null } });
  await settled();
  assert.equal(world.peers.length, 1);
  assert.equal(phase(client.state), "stopped: closed");
});

test("opening twice opens once; after a stop it opens anew", async () => {
  const world = new World();
  const client = world.client().open().open();
  await settled();
  assert.equal(world.peers.length, 1);
  world.peer.welcome();
  client.open();
  client.close();
  assert.equal(world.peer.closed, 1000);
  client.open();
  await settled();
  assert.equal(world.peers.length, 2);
});
