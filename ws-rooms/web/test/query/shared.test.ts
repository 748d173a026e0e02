// A query that several show, and that others read too.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useQuery } from "@tanstack/react-query";
import { createElement, type ReactElement } from "react";

import type { RoomEvent } from "../../src/index.js";
import { feedFor, feedOf } from "../../src/query/feed.js";
import { event } from "../support/world.js";
import { guarded, happens } from "../react/support.js";
import { append, Page, PLACE } from "./support.js";

guarded();

test("what concerns one of its components is read or put in for all", async () => {
  const only = (id: string) => (event: { id: string }) => event.id === id;
  for (const [first, second] of [["1", "none"], ["none", "1"]] as const) {
    const page = await Page.open();
    await page.show([{ affects: only(first) }, { affects: only(second) }]);
    await page.answer("0");
    await page.receive(event("broadcast", 1, "1"));
    await page.later(300);
    assert.equal(page.reads, 2, `${first} ${second}`);
    await page.answer("1");
    await page.receive(event("broadcast", 2, "of nobody's concern"));
    await page.later(10_000);
    assert.equal(page.reads, 2);
  }
});

test("the function that puts an event in is one of whom it concerns, the newest that has one, and is called once", async () => {
  const page = await Page.open();
  const mark = (mark: string) => (data: string, { id }: RoomEvent) => `${data} ${mark}${id}`;
  await page.show([
    { patch: mark("a") },
    { patch: mark("b") },
    { patch: mark("c"), affects: ({ id }) => id !== "1" },
    { affects: ({ id }) => id !== "2" },
  ]);
  await page.answer("0");
  await page.receive(event("broadcast", 1, "1"), event("broadcast", 2, "2"));
  const all = "0 b1 c2 ";
  assert.deepEqual([page.text, page.reads], [all.repeat(4), 1]);
});

test("one that throws is told of, and all is read anew", async () => {
  const page = await Page.open();
  const affects = () => {
    throw new Error("a bug");
  };
  await page.show([{ affects }, { affects: () => false }]);
  await page.answer("0");
  await page.receive(event("broadcast", 1));
  assert.equal(page.world.reported.length, 1);
  await page.later(300);
  assert.equal(page.reads, 2);
});

test("a key with a hash of its own is its own query", async () => {
  const page = await Page.open();
  page.queries.setQueryData(["balance"], "another");
  const own = { queryKeyHashFn: () => "mine", patch: append };
  await page.show([own]);
  await page.answer("0");
  await page.receive(event("broadcast", 1, "1"));
  assert.deepEqual([page.text, page.queries.getQueryData(["balance"])], ["0 1 ", "another"]);
  await page.receive({ type: "gap", ...PLACE, offset: 4, reason: "slow" });
  await page.later(300);
  assert.equal(page.reads, 2);
  assert.equal(page.queries.getQueryState(["balance"])?.isInvalidated, false);
});

/** Shows the same query without rooms, and reads it with a function of its own, which the cache prefers: it comes last. */
function Plain({ read }: { read: () => unknown }): ReactElement {
  const { data } = useQuery({ queryKey: ["balance"], queryFn: read, staleTime: Infinity });
  return createElement("p", null, `plain ${String(data)} `);
}

test("what somebody else reads in our place is not read for ever, and is put into", async () => {
  const page = await Page.open();
  let reads = 0;
  const plain = createElement(Plain, { key: "plain", read: () => `read ${(reads += 1)}` });
  await page.show([{ staleTime: Infinity, patch: append }], false, plain);
  await page.answer("0");
  await page.receive({ type: "gap", ...PLACE, reason: "source" });
  await page.later(30_000);
  assert.equal(reads, 1);
  await page.receive(event("broadcast", 1, "1"));
  await page.later(30_000);
  assert.deepEqual([reads, page.reads], [1, 1]);
  assert.equal(page.text, "read 1 1 plain read 1 1 ");
});

test("what happens while somebody else reads is read too; a busy room is shown all the same", async () => {
  const page = await Page.open();
  const readings: ((data: string) => void)[] = [];
  const plain = createElement(Plain, { key: "plain", read: () => new Promise((done) => readings.push(done as never)) });
  await page.show([{ staleTime: Infinity }], false, plain);
  await page.answer("0");
  let offset = 0;
  const busy = async (times: number) => {
    for (let n = 0; n < times; n += 1) {
      await page.receive(event("broadcast", (offset += 1)));
      await page.later(100);
    }
  };
  await busy(20);
  // The first was given up, the one in its place is let finish.
  assert.equal(readings.length, 2);
  await happens(() => readings[1]!("a"));
  assert.equal(page.text, "a plain a ");
  await page.later(300);
  assert.equal(readings.length, 3);
  await happens(() => readings[2]!("b"));
  await page.later(10_000);
  assert.deepEqual([page.text, readings.length], ["b plain b ", 3]);
});

test("a room that is no name leaves nothing behind", async () => {
  const page = await Page.open();
  let watchers = 0;
  const watch = page.client.watch.bind(page.client);
  page.client.watch = (watcher) => {
    watchers += 1;
    const stop = watch(watcher);
    return () => ((watchers -= 1), stop());
  };
  const feed = feedFor(page.queries, page.client, "hash");
  assert.throws(() => feed.add(["payment:1", "no name"], () => ({})), TypeError);
  assert.equal(feedOf(page.queries, page.client, "hash"), undefined);
  assert.deepEqual([watchers, page.queries.getQueryCache().hasListeners()], [0, false]);
  await page.later(2_000);
  assert.deepEqual(page.peer.inbox.map(({ type }) => type), ["subscribe"]);
});
