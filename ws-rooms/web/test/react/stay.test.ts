// A listener that outlives its client's openings.

import assert from "node:assert/strict";
import { test } from "node:test";

import { stay } from "../../src/react/stay.js";
import { event, opened, settled } from "../support/world.js";

const PLACE = { room: "broadcast", epoch: "e", offset: 0 };

test("opened while the end is being told: in the room again", async () => {
  const { world, client } = await opened({}, [PLACE]);
  // It hears first, and opens at once.
  client.on("payment:1", { ended: () => client.open() });
  client.on("broadcast", { ended: () => client.open() });
  const heard: string[] = [];
  stay(client, "broadcast", ({ kind }) => heard.push(kind));
  client.close();
  await settled();
  world.peer.welcome([PLACE]);
  assert.deepEqual(heard, ["live", "ended", "live"]);
});

test("asked for again after a refusal, once, and heard once", async () => {
  const { world, client } = await opened();
  const heard: string[] = [];
  stay(client, "payment:1", ({ kind }) => heard.push(kind));
  const refuse = () => {
    const { id } = world.peer.next();
    world.peer.receive({ type: "error", id, code: "FORBIDDEN", message: "no", retry: false });
  };
  const again = async () => {
    world.peer.end(1006);
    await world.advance(20_000);
    world.peer.welcome();
  };
  refuse();
  await again();
  const { id } = world.peer.next();
  world.peer.receive({ type: "subscribed", id, room: "payment:1", epoch: "e", offset: 0, events: [] });
  await again();
  world.peer.receive({ type: "subscribed", id: world.peer.next()["id"], room: "payment:1", epoch: "e", offset: 0, recovered: true, events: [] });
  world.peer.receive(event("payment:1", 1));
  assert.deepEqual(heard, ["ended", "live", "live", "event"]);
});

test("stopped while it is refused is stopped", async () => {
  const { world, client, peer } = await opened();
  const stop = stay(client, "payment:1", () => {});
  peer.receive({ type: "error", id: peer.next()["id"], code: "FORBIDDEN", message: "no", retry: false });
  stop();
  peer.end(1006);
  await world.advance(1_000);
  world.peer.welcome([PLACE]);
  assert.deepEqual(world.peer.inbox, []);
});
