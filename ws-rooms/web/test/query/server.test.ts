// A query on a server that renders pages: pending, and nothing begins.

import assert from "node:assert/strict";
import { test } from "node:test";

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createElement } from "react";
import { renderToString } from "react-dom/server";

import { type Environment, Rooms } from "../../src/index.js";
import { useRealTimeQuery } from "../../src/query/index.js";
import { RoomsProvider } from "../../src/react/index.js";

function Balance() {
  const { status, data } = useRealTimeQuery({
    queryKey: ["balance"],
    queryFn: (): string => assert.fail("it was read"),
    rooms: ["payment:1"],
  });
  return createElement("p", null, `${status} ${data}`);
}

test("a server renders what is in the cache, and touches nothing", () => {
  const environment = new Proxy({} as Environment, {
    get: (_, what) => assert.fail(`the environment's ${String(what)} was touched`),
  });
  const rooms = new Rooms({ credential: () => "token", environment });
  const client = new QueryClient();
  const below = createElement(QueryClientProvider, { client, children: createElement(Balance) });
  const page = createElement(RoomsProvider, { rooms, children: below });
  assert.equal(renderToString(page), "<p>pending undefined</p>");
  client.setQueryData(["balance"], "fetched before");
  assert.equal(renderToString(page), "<p>success fetched before</p>");
});
