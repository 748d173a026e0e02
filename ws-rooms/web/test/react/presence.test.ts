// Who is there.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createElement } from "react";

import { usePresence } from "../../src/react/index.js";
import { guarded, happens, later, mount, opened, render, shown } from "./support.js";

guarded();

const PLACE = { room: "lobby", epoch: "e", offset: 0 };

function Present({ room = "lobby" }: { room?: string | null }) {
  const presence = usePresence(room);
  const { status } = presence;
  const more = status === "known" && presence.total > presence.users.length ? ` of ${presence.total}` : "";
  const what = status === "known" ? presence.users.join(",") + more : status === "failed" ? presence.error.code : status;
  return createElement("p", null, what);
}

const members = (id: unknown, ...users: string[]) => ({
  type: "presence",
  id,
  room: "lobby",
  members: users.map((userId) => ({ userId, connections: 1 })),
});
const joined = (userId: string) => ({ type: "joined", room: "lobby", userId });
const left = (userId: string) => ({ type: "left", room: "lobby", userId });

test("asked once though it is mounted twice, then followed", async () => {
  const { client, peer } = await opened({}, [PLACE]);
  const root = await mount(client, createElement(Present), true);
  assert.equal(shown(root), "asking");
  const { type, id } = peer.next();
  assert.equal(type, "presence");
  assert.deepEqual(peer.inbox, []);
  await happens(() => peer.receive(members(id, "ada", "bob")));
  assert.equal(shown(root), "ada,bob");
  await happens(() => [joined("cyd"), left("ada"), joined("cyd")].forEach((frame) => peer.receive(frame)));
  assert.equal(shown(root), "bob,cyd");
  await render(root, client, createElement(Present, { room: null }), true);
  assert.equal(shown(root), "asking");
});

test("who comes and goes while the answer is on its way is counted, whichever is older", async () => {
  for (const answer of [["ada", "bob"], ["bob", "cyd"]]) {
    const { client, peer } = await opened({}, [PLACE]);
    const root = await mount(client, createElement(Present));
    const { id } = peer.next();
    await happens(() => [left("ada"), joined("cyd")].forEach((frame) => peer.receive(frame)));
    await happens(() => peer.receive(members(id, ...answer)));
    assert.equal(shown(root), "bob,cyd");
  }
});

test("asked again after each loss; meanwhile the last that was known is shown, and kept up", async () => {
  const { world, client, peer } = await opened({}, [PLACE]);
  const root = await mount(client, createElement(Present));
  await happens(() => peer.receive(members(peer.next()["id"], "ada", "bob")));
  await happens(() => peer.end(1006));
  await later({ world }, 1_000);
  assert.equal(shown(root), "ada,bob");
  await happens(() => world.peer.welcome([PLACE]));
  const { type, id } = world.peer.next();
  assert.equal(type, "presence");
  await happens(() => world.peer.receive(joined("dan")));
  assert.equal(shown(root), "ada,bob,dan");
  await happens(() => world.peer.receive(members(id, "bob", "cyd")));
  assert.equal(shown(root), "bob,cyd,dan");
});

test("what cannot be told now is asked again, what is not told here is said", async () => {
  const { world, client, peer } = await opened({}, [PLACE]);
  const root = await mount(client, createElement(Present));
  const refuse = (code: string, retry: boolean) =>
    happens(() => peer.receive({ type: "error", id: peer.next()["id"], code, message: "no", retry }));
  await refuse("UNAVAILABLE", true);
  assert.equal(shown(root), "asking");
  await later({ world }, 999);
  assert.deepEqual(peer.inbox, []);
  await later({ world }, 2_001);
  await refuse("FORBIDDEN", false);
  assert.equal(shown(root), "FORBIDDEN");
  await later({ world }, 10_000);
  assert.deepEqual(peer.inbox, []);
});

test("the next user is shown nothing of the last one's", async () => {
  const { world, client, peer } = await opened({}, [PLACE]);
  const root = await mount(client, createElement(Present));
  await happens(() => peer.receive(members(peer.next()["id"], "ada")));
  await happens(() => client.close());
  assert.equal(shown(root), "asking");
  await happens(() => client.open());
  await happens(() => world.peer.welcome([PLACE]));
  await happens(() => world.peer.receive(joined("bob")));
  assert.equal(shown(root), "asking");
  await happens(() => world.peer.receive(members(world.peer.next()["id"])));
  assert.equal(shown(root), "bob");
});

test("a question of a component that is gone is given up", async () => {
  const { world, client, peer } = await opened({}, [PLACE]);
  const root = await mount(client, createElement(Present));
  await happens(() => peer.receive({ type: "error", id: peer.next()["id"], code: "BUSY", message: "no", retry: true }));
  await render(root, client, null);
  await later({ world }, 10_000);
  assert.deepEqual(peer.inbox, []);
});

test("a room that is not open says so, until there may be another answer", async () => {
  const { world, client, peer } = await opened();
  const root = await mount(client, createElement(Present));
  const refuse = (peer: typeof world.peer) =>
    happens(() => peer.receive({ type: "error", id: peer.next()["id"], code: "FORBIDDEN", message: "no", retry: false }));
  await refuse(peer);
  assert.equal(shown(root), "FORBIDDEN");
  await happens(() => peer.end(1006));
  assert.equal(shown(root), "FORBIDDEN");
  await later({ world }, 1_000);
  assert.equal(shown(root), "asking");
  await happens(() => world.peer.welcome([PLACE]));
  await happens(() => world.peer.receive(members(world.peer.next()["id"], "ada")));
  assert.equal(shown(root), "ada");
  // Taken away on the open connection.
  await happens(() => world.peer.receive({ type: "unsubscribed", room: "lobby", reason: "forbidden" }));
  assert.equal(shown(root), "FORBIDDEN");
  await happens(() => client.close());
  await happens(() => client.open());
  assert.equal(shown(root), "asking");
});

test("in a room that is too large to be listed all are counted", async () => {
  const { client, peer } = await opened({}, [PLACE]);
  const root = await mount(client, createElement(Present));
  await happens(() => peer.receive({ ...members(peer.next()["id"], "ada", "bob"), total: 1_500 }));
  assert.equal(shown(root), "ada,bob of 1500");
  // Somebody new, somebody who was listed, and two who were not.
  await happens(() => [joined("cyd"), left("ada"), left("zoe"), left("yan")].forEach((frame) => peer.receive(frame)));
  assert.equal(shown(root), "bob,cyd of 1498");
});
