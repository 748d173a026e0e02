// Events that are put into the data instead of reading it anew.

import assert from "node:assert/strict";
import { test } from "node:test";

import { skipToken } from "@tanstack/react-query";

import { event } from "../support/world.js";
import { guarded, happens } from "../react/support.js";
import { append, Page, PLACE } from "./support.js";

guarded();

test("the very next event is put in; one after something that was not is not", async () => {
  const page = await Page.open([{ ...PLACE, offset: 5 }]);
  const patch = (data: string, event: { id: string }) => (event.id === "no" ? undefined : `${data} ${event.id}`);
  // Two that show the same put it in once.
  await page.show([{ patch }, { patch }]);
  await page.answer("5");
  await page.receive(event("broadcast", 6, "6"), event("broadcast", 7, "7"));
  assert.equal(page.text, "5 6 7 5 6 7 ");
  await page.receive(event("broadcast", 8, "no"), event("broadcast", 9, "9"));
  assert.equal(page.text, "5 6 7 5 6 7 ");
  assert.equal(page.reads, 1);
  await page.later(300);
  assert.equal(page.reads, 2);
  await page.answer("9");
  await page.receive(event("broadcast", 10, "10"));
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["9 10 9 10 ", 2]);
});

test("an event after one that was never told is not put in", async () => {
  const page = await Page.open();
  await page.show([{ patch: append, affects: ({ id }) => id !== "other" }]);
  await page.answer("0");
  // The second is a repetition, which the client leaves out; for all we know it was something else.
  await page.receive(event("broadcast", 1, "a"), event("broadcast", 2, "a"), event("broadcast", 3, "other"), event("broadcast", 4, "b"));
  assert.equal(page.text, "0 a ");
  await page.later(300);
  await page.answer("0 a b");
  await page.receive(event("broadcast", 5, "c"));
  assert.equal(page.text, "0 a b c ");
});

test("a reading that somebody has given up counts as none", async () => {
  const page = await Page.open();
  await page.show([{ patch: append }]);
  await page.answer("0");
  await happens(() => void page.queries.invalidateQueries({ queryKey: ["balance"] }));
  await happens(() => page.queries.cancelQueries({ queryKey: ["balance"] }));
  await page.receive(event("broadcast", 1, "1"));
  assert.equal(page.text, "0 1 ");
});

test("while it is being read nothing is put in: what is read may hold it or not", async () => {
  const page = await Page.open();
  await page.show([{ patch: append }]);
  await page.answer("0");
  await happens(() => void page.queries.invalidateQueries({ queryKey: ["balance"] }));
  await page.receive(event("broadcast", 1, "1"));
  assert.equal(page.text, "0 ");
  await page.answer("1?");
  assert.equal(page.text, "1? ");
  await page.later(300);
  assert.equal(page.reads, 3);
  await page.answer("1");
  await page.receive(event("broadcast", 2, "2"));
  assert.equal(page.text, "1 2 ");
});

test("an event that came before the reading began is in it", async () => {
  const page = await Page.open();
  // Hears of the event first, and reads at once.
  page.client.on("broadcast", { event: () => void page.queries.invalidateQueries({ queryKey: ["balance"] }) });
  await page.show([{ patch: append }]);
  await page.answer("0");
  await page.receive(event("broadcast", 1, "1"));
  await page.answer("1");
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["1 ", 2]);
});

test("after a gap nothing is put in before it was read anew, nor in another epoch", async () => {
  for (const epoch of ["e", "f"]) {
    const page = await Page.open();
    await page.show([{ patch: append }]);
    await page.answer("0");
    await page.receive({ type: "gap", room: "broadcast", epoch, offset: 0, reason: "source" });
    await page.receive(event("broadcast", 1, "1"));
    assert.equal(page.text, "0 ");
    await page.later(300);
    assert.equal(page.reads, 2);
    await page.answer("1");
    await page.receive(event("broadcast", 2, "2"));
    assert.equal(page.text, "1 2 ");
  }
});

test("in another epoch nothing is held, though the reading after the gap failed", async () => {
  const page = await Page.open([{ ...PLACE, offset: 5 }]);
  await page.show([{ patch: append }]);
  await page.answer("5");
  await page.receive({ type: "gap", room: "broadcast", epoch: "f", offset: 0, reason: "source" });
  await page.later(300);
  await page.answer(new Error("away"));
  await page.receive(event("broadcast", 1, "1"));
  await page.later(300);
  assert.equal(page.reads, 3);
  await page.answer("1");
  await page.receive(event("broadcast", 2, "2"));
  assert.equal(page.text, "1 2 ");
});

test("what the application puts back may lack an event: the next one has it read", async () => {
  const page = await Page.open();
  await page.show([{ patch: append }]);
  await page.answer("0");
  const before = page.queries.getQueryData(["balance"]);
  await page.receive(event("broadcast", 1, "1"));
  assert.equal(page.text, "0 1 ");
  // A mutation that failed rolls back.
  await happens(() => void page.queries.setQueryData(["balance"], before));
  await page.receive(event("broadcast", 2, "2"));
  assert.equal(page.text, "0 ");
  await page.later(300);
  assert.equal(page.reads, 2);
  await page.answer("0 1 2");
  await page.receive(event("broadcast", 3, "3"));
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["0 1 2 3 ", 2]);
});

test("what was missed is put in after a reconnect, and nothing is read", async () => {
  const page = await Page.open();
  await page.show([{ patch: append }]);
  await page.answer("0");
  await page.reconnect([{ ...PLACE, offset: 3 }]);
  const events = [1, 2, 3].map((offset) => ({ offset, event: { id: String(offset), type: "t" } }));
  await page.subscribed({ offset: 3, recovered: true, events });
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["0 1 2 3 ", 1]);
});

test("what does not concern it is passed over, and keeps the count", async () => {
  const page = await Page.open();
  const affects = ({ id }: { id: string }) => !id.startsWith("other");
  await page.show([{ patch: append, affects }]);
  await page.answer("0");
  await page.receive(event("broadcast", 1, "other"), event("broadcast", 2, "2"));
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["0 2 ", 1]);
  // Also while it is being read.
  await happens(() => void page.queries.invalidateQueries({ queryKey: ["balance"] }));
  await page.receive(event("broadcast", 3, "other too"));
  await page.answer("2");
  await page.receive(event("broadcast", 4, "4"));
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["2 4 ", 2]);
});

test("the newest of the component's functions is asked", async () => {
  const page = await Page.open();
  await page.show([{ patch: append }]);
  await page.answer("0");
  await page.show([{ patch: (data) => `${data} new` }]);
  await page.receive(event("broadcast", 1));
  assert.equal(page.text, "0 new ");
});

test("a patch that throws is told of, and the data is read anew", async () => {
  const page = await Page.open();
  await page.show([
    {
      patch() {
        throw new Error("a bug");
      },
    },
  ]);
  await page.answer("0");
  await page.receive(event("broadcast", 1));
  assert.equal(page.world.reported.length, 1);
  await page.later(300);
  assert.equal(page.reads, 2);
});

test("what is no longer in the cache is not patched", async () => {
  const page = await Page.open();
  await page.show([{ patch: append }]);
  await page.answer("0");
  page.queries.removeQueries({ queryKey: ["balance"] });
  await page.receive(event("broadcast", 1, "1"));
  assert.equal(page.queries.getQueryData(["balance"]), undefined);
});

test("what somebody else reads has its place too, unless that began before anybody looked", async () => {
  const page = await Page.open();
  await page.show([{ patch: append, staleTime: Infinity }]);
  await page.answer("0");
  await happens(() => page.queries.fetchQuery({ queryKey: ["balance"], queryFn: () => "elsewhere" }));
  await page.receive(event("broadcast", 1, "1"));
  await page.later(10_000);
  assert.deepEqual([page.text, page.reads], ["elsewhere 1 ", 1]);

  const other = await Page.open();
  void other.queries.fetchQuery({ queryKey: ["balance"], queryFn: () => other.read() });
  await other.show([{ patch: append, staleTime: Infinity }]);
  await other.answer("0?");
  // Nobody knows where the room stood.
  await other.receive(event("broadcast", 1, "1"));
  assert.equal(other.text, "0? ");
  await other.later(300);
  await other.answer("1");
  await other.receive(event("broadcast", 2, "2"));
  await other.later(10_000);
  assert.deepEqual([other.text, other.reads], ["1 2 ", 2]);
});

test("a query that is skipped stays so, and a default function is read through as well", async () => {
  const page = await Page.open([]);
  await page.show([{ queryFn: skipToken } as object]);
  await page.later(1_000);
  assert.deepEqual([page.text, page.reads], ["… ", 0]);
  page.queries.setDefaultOptions({ queries: { queryFn: () => page.read(), retry: false } });
  await page.show([{ name: "default", byDefault: true, rooms: ["payment:1"] }]);
  assert.equal(page.reads, 0);
  const subscribe = page.peer.inbox.at(-1);
  await page.receive({ type: "subscribed", id: subscribe?.["id"], room: "payment:1", epoch: "e", offset: 0, events: [] });
  assert.equal(page.reads, 1);
});
