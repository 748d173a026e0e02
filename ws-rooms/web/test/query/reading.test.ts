// When a query is read: with its rooms, and once for all that happens together.

import assert from "node:assert/strict";
import { test } from "node:test";

import { event, settled, World } from "../support/world.js";
import { guarded, happens } from "../react/support.js";
import { Page, PLACE } from "./support.js";

guarded();

test("it is in its rooms before it reads, once, mounted twice or not", async () => {
  for (const strict of [false, true]) {
    const page = await Page.open([]);
    await page.show([{ rooms: ["payment:1", "payment:2"] }, { rooms: ["payment:1"] }], strict);
    assert.equal(page.peer.inbox.length, 2);
    await page.subscribed();
    assert.equal(page.reads, 0);
    await page.subscribed();
    assert.equal(page.reads, 1);
    await page.answer("a");
    await page.later(10_000);
    assert.deepEqual([page.text, page.reads, page.peer.inbox], ["a a ", 1, []]);
  }
});

test("in a room that is slow to answer it reads after half a second, and again once it is live", async () => {
  const page = await Page.open([]);
  await page.show([{ rooms: ["payment:1"] }]);
  await page.later(499);
  assert.equal(page.reads, 0);
  await page.later(1);
  assert.equal(page.reads, 1);
  await page.answer("a");
  await page.subscribed();
  await page.later(299);
  assert.equal(page.reads, 1);
  await page.later(1);
  assert.equal(page.reads, 2);
  await page.answer("b");
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["b ", 2]);
});

test("without a connection it waits for nothing, nor for a room that is closed to it", async () => {
  const page = await Page.open([]);
  await happens(() => page.peer.end(1006));
  await page.show([{ rooms: ["payment:1"] }]);
  assert.equal(page.reads, 1);
  await page.answer("a");
  await page.later(1_000);
  await happens(() => page.peer.welcome());
  await page.subscribed();
  await page.later(10_000);
  assert.equal(page.reads, 2);

  const other = await Page.open([]);
  await other.show([{ rooms: ["payment:1"] }]);
  const { id } = other.peer.next();
  await other.receive({ type: "error", id, code: "FORBIDDEN", message: "no", retry: false });
  assert.equal(other.reads, 1);
  await other.answer("a");
  await other.later(10_000);
  assert.equal(other.reads, 1);
});

test("while the page connects for the first time it waits, later it does not", async () => {
  const world = new World();
  const client = world.client().open();
  await settled();
  const page = new Page({ world, client, peer: world.peer });
  await page.show([{}]);
  await page.later(400);
  assert.equal(page.reads, 0);
  await happens(() => page.peer.welcome([PLACE]));
  assert.equal(page.reads, 1);
  await page.answer("a");
  await happens(() => page.peer.end(1006));
  await page.later(1_000);
  assert.equal(client.state.phase, "opening");
  await happens(() => void page.queries.invalidateQueries());
  assert.equal(page.reads, 2);
});

test("while rooms recover it waits for its own", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.answer("a");
  await page.reconnect([{ ...PLACE, offset: 1 }]);
  await happens(() => void page.queries.invalidateQueries());
  assert.equal(page.reads, 1);
  const events = [{ offset: 1, event: { id: "1", type: "t" } }];
  await page.subscribed({ offset: 1, recovered: true, events });
  assert.equal(page.reads, 2);
  await page.answer("b");
  await page.later(10_000);
  assert.equal(page.reads, 2);
});

test("what somebody else asks for meanwhile is enough", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.answer("a");
  await page.receive(event("broadcast", 1));
  await happens(() => void page.queries.invalidateQueries());
  await page.answer("b");
  await page.later(10_000);
  assert.equal(page.reads, 2);
});

test("a connection that breaks while it waits holds it no longer", async () => {
  const page = await Page.open([]);
  await page.show([{ rooms: ["payment:1"] }]);
  assert.equal(page.reads, 0);
  await happens(() => page.peer.end(1006));
  assert.equal(page.reads, 1);
});

test("what happens within 300 ms costs one reading, however many show it; another key has its own", async () => {
  const page = await Page.open();
  await page.show([{}, {}, { name: "limits" }, { name: "balance" }]);
  await page.answer("a");
  await page.answer("l");
  assert.equal(page.reads, 2);
  for (let offset = 1; offset <= 100; offset += 1) {
    await page.receive(event("broadcast", offset));
    await page.later(2);
  }
  assert.equal(page.reads, 2);
  await page.later(100);
  assert.equal(page.reads, 4);
  await page.answer("b");
  await page.answer("m");
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["b b m b ", 4]);
});

test("only its own key is read anew, not those that begin alike", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.answer("a");
  page.queries.setQueryData(["balance", "of another"], "x");
  await page.receive(event("broadcast", 1));
  await page.later(300);
  assert.equal(page.queries.getQueryState(["balance", "of another"])?.isInvalidated, false);
});

test("an event during the first reading is not lost with it", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.receive(event("broadcast", 1));
  // TanStack Query gives no first reading up, and would forget that it was asked to.
  await page.later(1_000);
  assert.equal(page.reads, 1);
  await page.answer("a");
  assert.equal(page.text, "a ");
  await page.later(300);
  assert.equal(page.reads, 2);
  await page.answer("b");
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["b ", 2]);
});

test("a result that is stale before it is there is not shown", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.answer("a");
  await page.receive(event("broadcast", 1));
  await page.later(300);
  await page.receive(event("broadcast", 2));
  await page.later(300);
  assert.equal(page.reads, 3);
  await page.answer("stale");
  assert.equal(page.text, "a ");
  await page.answer("c");
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["c ", 3]);
});

test("a room that never rests is shown all the same, and read to its end", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.answer("a");
  let offset = 0;
  const busy = async (ms: number) => {
    for (let at = 0; at < ms; at += 100) {
      await page.receive(event("broadcast", (offset += 1)));
      await page.later(100);
    }
  };
  await busy(2_000);
  // The first was given up; the second would be too, and each after it.
  assert.equal(page.reads, 3);
  await page.answer("given up");
  await page.answer("b");
  assert.equal(page.text, "b ");
  await page.later(300);
  assert.equal(page.reads, 4);
  await page.answer("c");
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["c ", 4]);
});

test("a gap costs one reading, and so do all gaps of a recovery", async () => {
  const page = await Page.open([PLACE, { ...PLACE, room: "role:vendor" }]);
  await page.show([{ rooms: ["broadcast", "role:vendor", "payment:1"] }]);
  await page.subscribed();
  await page.answer("a");
  await page.receive({ type: "gap", ...PLACE, offset: 4, reason: "slow" });
  await page.later(300);
  assert.equal(page.reads, 2);
  await page.answer("b");

  await page.reconnect([{ ...PLACE, epoch: "f" }, { ...PLACE, room: "role:vendor", epoch: "f" }]);
  for (const missed of [{ recovered: false, reason: "epoch" }, { recovered: false, reason: "epoch" }, { recovered: true }]) {
    assert.equal(page.reads, 2);
    // One after another, and not all at once.
    for (let tenths = 0; tenths < 10; tenths += 1) await page.later(100);
    await page.subscribed({ ...(missed.recovered ? {} : { epoch: "f" }), ...missed });
  }
  assert.equal(page.client.state.phase, "open");
  assert.equal(page.reads, 3);
  await page.answer("c");
  await page.later(10_000);
  assert.equal(page.reads, 3);
});

test("a reconnect that missed nothing costs nothing, one that missed a hundred events costs one reading", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.answer("a");
  await page.reconnect([PLACE]);
  await page.later(10_000);
  assert.equal(page.reads, 1);

  await page.reconnect([{ ...PLACE, offset: 100 }]);
  const events = Array.from({ length: 100 }, (_, n) => ({ offset: n + 1, event: { id: `e${n}`, type: "t" } }));
  await page.subscribed({ offset: 100, recovered: true, events });
  await page.later(10_000);
  assert.equal(page.reads, 2);
});

test("a reading that fails is not tried in a loop", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.answer("a");
  await page.receive(event("broadcast", 1));
  await page.later(300);
  await page.answer(new Error("away"));
  await page.later(30_000);
  assert.deepEqual([page.text, page.reads], ["away! ", 2]);
  await page.receive(event("broadcast", 2));
  await page.later(300);
  await page.answer("b");
  assert.equal(page.text, "b ");
});

test("a first reading that failed is tried again when its rooms are back", async () => {
  const page = await Page.open([]);
  await happens(() => page.peer.end(1006));
  await page.show([{ rooms: ["payment:1"] }]);
  await page.answer(new Error("away"));
  await page.later(1_000);
  await happens(() => page.peer.welcome());
  await page.subscribed();
  await page.later(300);
  assert.equal(page.reads, 2);
});

test("a later reading that failed is tried again when its rooms are back, though nothing was missed", async () => {
  const page = await Page.open();
  await page.show([{}]);
  await page.answer("a");
  await page.receive(event("broadcast", 1));
  await page.later(300);
  await page.answer(new Error("away"));
  await page.reconnect([{ ...PLACE, offset: 1 }]);
  await page.later(300);
  assert.equal(page.reads, 3);
  await page.answer("b");
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["b ", 3]);
});

test("what was in the cache before is read anew once its rooms are live, unless it is being read anyway", async () => {
  for (const staleTime of [Infinity, 0]) {
    const page = await Page.open();
    page.queries.setQueryData(["balance"], "cached");
    await page.show([{ staleTime }]);
    assert.equal(page.text, "cached ");
    await page.later(300);
    assert.equal(page.reads, 1);
    await page.answer("a");
    await page.later(10_000);
    assert.deepEqual([page.text, page.reads], ["a ", 1]);
  }
});

test("who leaves the page and comes back within a second has missed nothing; later, it is read anew", async () => {
  const page = await Page.open([]);
  const query = { rooms: ["payment:1"], staleTime: Infinity };
  await page.show([query]);
  await page.subscribed();
  await page.answer("a");
  await page.show([]);
  await page.later(900);
  await page.show([query]);
  await page.later(3_000);
  assert.deepEqual([page.reads, page.peer.inbox], [1, []]);
  await page.receive(event("payment:1", 1));
  await page.later(300);
  assert.equal(page.reads, 2);
  await page.answer("b");

  await page.show([]);
  await page.later(2_000);
  assert.equal(page.peer.next()["type"], "unsubscribe");
  await page.show([query]);
  await page.subscribed({ offset: 9 });
  for (const reads of [3, 4, 5]) {
    await page.later(300);
    assert.equal(page.reads, reads);
    await page.answer("c");
    await page.receive(event("payment:1", 7 + reads));
  }
});

test("a room that was not its own for a while may have changed it", async () => {
  const page = await Page.open([PLACE]);
  const show = (...rooms: string[]) => page.show([{ rooms, staleTime: Infinity }]);
  await show("broadcast", "payment:1");
  await page.subscribed();
  await page.answer("a");
  await show("broadcast");
  await page.later(3_000);
  const { type, id } = page.peer.next();
  assert.equal(type, "unsubscribe");
  await page.receive({ type: "unsubscribed", id, room: "payment:1" });
  await show("broadcast", "payment:1");
  await page.subscribed({ offset: 1 });
  await page.later(300);
  assert.equal(page.reads, 2);
});

test("nor is a room that went while it was read where it was then", async () => {
  const page = await Page.open([PLACE]);
  const show = (...rooms: string[]) => page.show([{ rooms, staleTime: Infinity }]);
  await show("broadcast", "payment:1");
  await page.subscribed();
  assert.equal(page.reads, 1);
  await show("broadcast");
  await page.later(3_000);
  const { type, id } = page.peer.next();
  assert.equal(type, "unsubscribe");
  await page.receive({ type: "unsubscribed", id, room: "payment:1" });
  await page.answer("a");
  await show("broadcast", "payment:1");
  await page.subscribed({ offset: 1 });
  await page.later(300);
  assert.equal(page.reads, 2);
});

test("what is gone listens to nothing", async () => {
  const page = await Page.open();
  let watchers = 0;
  const watch = page.client.watch.bind(page.client);
  page.client.watch = (watcher) => {
    watchers += 1;
    const stop = watch(watcher);
    return () => ((watchers -= 1), stop());
  };
  await page.show([{}, {}]);
  assert.equal(watchers, 2);
  await page.show([]);
  await page.later(1_000);
  assert.deepEqual([watchers, page.queries.getQueryCache().hasListeners()], [0, false]);
});

test("the next user's rooms are another's: read anew", async () => {
  const page = await Page.open();
  await page.show([{ staleTime: Infinity }]);
  await page.answer("of Ada");
  await happens(() => page.client.close());
  await happens(() => page.client.open());
  await happens(() => page.peer.welcome([PLACE]));
  await page.later(300);
  assert.equal(page.reads, 2);
});

test("a query that is off reads nothing, and is behind when it is on", async () => {
  const page = await Page.open();
  await page.show([{ enabled: false, staleTime: Infinity }]);
  await page.receive(event("broadcast", 1));
  await page.later(10_000);
  assert.equal(page.reads, 0);
  await page.show([{ staleTime: Infinity }]);
  await page.answer("a");
  await page.show([{ enabled: false, staleTime: Infinity }]);
  await page.receive(event("broadcast", 2));
  await page.later(10_000);
  assert.equal(page.reads, 1);
  await page.show([{ staleTime: Infinity }]);
  assert.equal(page.reads, 2);
});
