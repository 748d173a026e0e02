// Hooks of one room, and of the client.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createElement, Fragment } from "react";

import type { Listener } from "../../src/index.js";
import { useLatest, useRoom, useRooms } from "../../src/react/index.js";
import { event } from "../support/world.js";
import { guarded, happens, later, mount, opened, render, shown } from "./support.js";

guarded();

const PLACE = { room: "broadcast", epoch: "e", offset: 0 };

let renders = 0;
function Room({ room, listener }: { room: string | null; listener?: Listener }) {
  renders += 1;
  const status = useRoom(room, listener);
  return createElement("p", null, status.status === "ended" ? `ended ${status.code}` : status.status, " ");
}

function Latest({ room }: { room: string }) {
  return createElement("p", null, useLatest(room)?.id ?? "none");
}

function State() {
  return createElement("p", null, useRooms().state.phase);
}

test("mounted twice by StrictMode, in several components: one subscription", async () => {
  const { world, client, peer } = await opened();
  const two = createElement(
    Fragment,
    null,
    createElement(Room, { room: "payment:1", listener: () => {} }),
    createElement(Room, { room: "payment:1" }),
  );
  const root = await mount(client, two, true);
  assert.equal(shown(root), "joining joining ");
  const { type, id } = peer.next();
  assert.equal(type, "subscribe");
  assert.deepEqual(peer.inbox, []);
  await happens(() => peer.receive({ type: "subscribed", id, room: "payment:1", epoch: "e", offset: 0, events: [] }));
  assert.equal(shown(root), "live live ");
  await later({ world }, 10_000);
  assert.deepEqual(peer.inbox, []);
});

test("a page that is left and come back to keeps its room; one that is left for good leaves it", async () => {
  const { world, client, peer } = await opened();
  const room = () => createElement(Room, { room: "payment:1", listener: () => {} });
  const root = await mount(client, room());
  await happens(() =>
    peer.receive({ type: "subscribed", id: peer.next()["id"], room: "payment:1", epoch: "e", offset: 0, events: [] }),
  );
  await render(root, client, null);
  await later({ world }, 900);
  renders = 0;
  await render(root, client, room());
  // Nothing flickers: the first rendering knows it already.
  assert.deepEqual([shown(root), renders], ["live ", 1]);
  await later({ world }, 10_000);
  assert.deepEqual(peer.inbox, []);
  await render(root, client, null);
  await later({ world }, 2_000);
  assert.equal(peer.next()["type"], "unsubscribe");
  await render(root, client, room());
  assert.equal(shown(root), "joining ");
  assert.equal(peer.next()["type"], "subscribe");
});

test("one of two components goes, or comes back: the other still follows the room", async () => {
  const { world, client, peer } = await opened({}, [PLACE]);
  const rooms = (...keys: string[]) => createElement(Fragment, null, keys.map((key) => createElement(Room, { room: "broadcast", key })));
  const root = await mount(client, rooms("a", "b"));
  await render(root, client, rooms("b"));
  await later({ world }, 1_500);
  await render(root, client, rooms());
  await later({ world }, 500);
  await render(root, client, rooms("b"));
  await later({ world }, 1_500);
  assert.equal(shown(root), "live ");
  await happens(() => peer.end(1006));
  assert.equal(shown(root), "joining ");
});

test("messages render nothing, and come to the newest listener", async () => {
  const { client, peer } = await opened({}, [PLACE]);
  const heard: string[] = [];
  const listen = (name: string) => createElement(Room, { room: "broadcast", listener: { event: ({ event }) => heard.push(`${name} ${event.id}`) } });
  const root = await mount(client, listen("first"));
  const before = renders;
  await happens(() => peer.receive(event("broadcast", 1, "a")));
  assert.equal(renders, before);
  await render(root, client, listen("second"));
  await happens(() => peer.receive(event("broadcast", 2, "b")));
  assert.equal(renders, before + 1);
  assert.deepEqual(heard, ["first a", "second b"]);
});

test("over a lost connection a room is not live", async () => {
  const { world, client, peer } = await opened({}, [PLACE]);
  const root = await mount(client, createElement(Fragment, null, createElement(Room, { room: "broadcast" }), createElement(State)));
  assert.equal(shown(root), "live open");
  await happens(() => peer.end(1006));
  assert.equal(shown(root), "joining waiting");
  await later({ world }, 1_000);
  assert.equal(shown(root), "joining opening");
  await happens(() => world.peer.welcome([{ ...PLACE, offset: 1 }]));
  assert.equal(shown(root), "joining recovering");
  const { id, since } = world.peer.next();
  assert.deepEqual(since, { epoch: "e", offset: 0 });
  const events = [{ offset: 1, event: { id: "a", type: "t" } }];
  await happens(() => world.peer.receive({ type: "subscribed", id, ...PLACE, offset: 1, recovered: true, events }));
  assert.equal(shown(root), "live open");
});

test("a room that was refused is asked for again on the next connection", async () => {
  const { world, client, peer } = await opened();
  const root = await mount(client, createElement(Room, { room: "payment:1" }));
  const forbidden = { type: "error", code: "FORBIDDEN", message: "no", retry: false };
  await happens(() => peer.receive({ ...forbidden, id: peer.next()["id"] }));
  assert.equal(shown(root), "ended FORBIDDEN ");
  await later({ world }, 30_000);
  assert.deepEqual(peer.inbox, []);
  await happens(() => peer.end(1006));
  assert.equal(shown(root), "ended FORBIDDEN ");
  await later({ world }, 1_000);
  await happens(() => world.peer.welcome());
  assert.equal(shown(root), "joining ");
  assert.equal(world.peer.next()["room"], "payment:1");
});

test("who stays mounted while another user signs in is in the room again", async () => {
  for (const before of ["live", "ended FORBIDDEN"]) {
    const { world, client, peer } = await opened();
    const heard: string[] = [];
    const root = await mount(client, createElement(Room, { room: "payment:1", listener: ({ kind }) => heard.push(kind) }));
    const { id } = peer.next();
    await happens(() =>
      peer.receive(
        before === "live"
          ? { type: "subscribed", id, room: "payment:1", epoch: "e", offset: 0, events: [] }
          : { type: "error", id, code: "FORBIDDEN", message: "no", retry: false },
      ),
    );
    await happens(() => client.close());
    assert.equal(shown(root), before === "live" ? "ended CLOSED " : `${before} `);
    await happens(() => client.open());
    assert.equal(shown(root), "joining ");
    await happens(() => world.peer.welcome([]));
    const again = world.peer.next();
    assert.equal(again["room"], "payment:1");
    assert.deepEqual(world.peer.inbox, []);
    await happens(() =>
      world.peer.receive({ type: "subscribed", id: again["id"], room: "payment:1", epoch: "f", offset: 3, events: [] }),
    );
    assert.equal(shown(root), "live ");
    assert.deepEqual(heard, before === "live" ? ["live", "ended", "live"] : ["ended", "live"]);
  }
});

test("another room, and none", async () => {
  const { world, client, peer } = await opened({}, [PLACE]);
  const heard: string[] = [];
  const room = (name: string | null) => createElement(Room, { room: name, listener: ({ room }) => heard.push(room) });
  const root = await mount(client, room(null));
  assert.equal(shown(root), "off ");
  assert.deepEqual(peer.inbox, []);
  await render(root, client, room("payment:1"));
  assert.equal(shown(root), "joining ");
  const { id } = peer.next();
  await happens(() => peer.receive({ type: "subscribed", id, room: "payment:1", epoch: "e", offset: 0, events: [] }));
  await render(root, client, room("broadcast"));
  assert.equal(shown(root), "live ");
  await happens(() => peer.receive(event("payment:1", 1)));
  await later({ world }, 2_000);
  assert.equal(peer.next()["type"], "unsubscribe");
  await render(root, client, room(null));
  assert.equal(shown(root), "off ");
  assert.deepEqual(heard, ["payment:1", "broadcast"]);
});

test("a name that is none is told where it is used, each time", async () => {
  const { client } = await opened();
  for (const _ of [1, 2]) {
    await assert.rejects(mount(client, createElement(Latest, { room: "not a name" })), TypeError);
  }
});

test("without a provider the hooks say so", async () => {
  const { client } = await opened();
  const root = await mount(client, createElement("p"));
  const { act } = await import("react");
  await assert.rejects(async () => await act(async () => root.render(createElement(State))), /RoomsProvider/);
});

test("what is gone watches nothing", async () => {
  const { world, client } = await opened({}, [PLACE]);
  let watchers = 0;
  const watch = client.watch.bind(client);
  client.watch = (watcher) => {
    watchers += 1;
    const stop = watch(watcher);
    return () => ((watchers -= 1), stop());
  };
  const all = [createElement(Room, { key: 1, room: "broadcast", listener: {} }), createElement(Room, { key: 2, room: "broadcast" }), createElement(State, { key: 3 })];
  const root = await mount(client, createElement(Fragment, null, all));
  assert.equal(watchers, 4);
  await render(root, client, null);
  await later({ world }, 1_000);
  assert.equal(watchers, 0);
});

test("the latest event is shown, and not to the next user", async () => {
  const { client, peer } = await opened({}, [PLACE]);
  const root = await mount(client, createElement(Latest, { room: "broadcast" }));
  assert.equal(shown(root), "none");
  await happens(() => peer.receive(event("broadcast", 1, "a")));
  await happens(() => peer.receive(event("broadcast", 2, "b")));
  assert.equal(shown(root), "b");
  await happens(() => client.close());
  assert.equal(shown(root), "none");
});
