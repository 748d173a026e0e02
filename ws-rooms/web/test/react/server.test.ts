// Rendering on a server: no connection, no timer, no listener that nobody takes away.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createElement } from "react";
import { renderToString } from "react-dom/server";

import { type Environment, Rooms } from "../../src/index.js";
import { RoomsProvider, useLatest, usePresence, useRoom, useRooms } from "../../src/react/index.js";

function Everything() {
  const { state } = useRooms();
  const room = useRoom("payment:1", () => {});
  const none = useRoom(null);
  const presence = usePresence("payment:1");
  return createElement("p", null, [state.phase, room.status, none.status, presence.status, typeof useLatest("payment:1")].join(" "));
}

test("a server renders what hydration begins with, and touches nothing", () => {
  // Whatever is asked of the surroundings is one touch too many.
  const environment = new Proxy({} as Environment, {
    get: (_, what) => assert.fail(`the environment's ${String(what)} was touched`),
  });
  const rooms = new Rooms({ credential: () => "token", environment });
  const page = createElement(RoomsProvider, { rooms, children: createElement(Everything) });
  const expected = "<p>idle joining off asking undefined</p>";
  assert.equal(renderToString(page), expected);
  assert.equal(renderToString(page), expected);
});
