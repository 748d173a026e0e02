// The browser's own environment, on a page that is made of event targets.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { browser } from "../src/environment.js";
import { Rooms } from "../src/index.js";

const STUBS = ["window", "document", "location", "WebSocket", "reportError"];

function stub(values: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}

afterEach(() => {
  for (const name of STUBS) Reflect.deleteProperty(globalThis, name);
});

test("where there is no page a client can be made, and nothing happens", () => {
  const rooms = new Rooms({ credential: () => null });
  rooms.on("broadcast", () => {});
  assert.deepEqual(rooms.state, { phase: "idle" });
});

test("the page's events wake, unless it is hidden, until they are no longer wanted", () => {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  stub({ window, document });
  let woken = 0;
  const stop = browser().onWake(() => (woken += 1));
  for (const type of ["online", "offline", "pageshow"]) window.dispatchEvent(new Event(type));
  for (const type of ["visibilitychange", "resume"]) document.dispatchEvent(new Event(type));
  assert.equal(woken, 5);
  document.visibilityState = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(woken, 5);
  document.visibilityState = "visible";
  stop();
  window.dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(woken, 5);
});

test("sockets are the browser's, relative to the page", () => {
  const made: unknown[] = [];
  class WebSocket {
    constructor(...args: unknown[]) {
      made.push(args);
    }
  }
  stub({ WebSocket, location: { href: "https://bank.example/app" } });
  const environment = browser();
  environment.socket("wss://bank.example/ws", ["tramline.v1"]);
  assert.deepEqual(made, [["wss://bank.example/ws", ["tramline.v1"]]]);
  assert.equal(environment.base, "https://bank.example/app");
});

test("errors of listeners go where the page's own uncaught errors go", () => {
  const reported: unknown[] = [];
  stub({ reportError: (error: unknown) => reported.push(error) });
  browser().report("a bug");
  assert.deepEqual(reported, ["a bug"]);
});

test("timers run, and do not when they are cleared", async () => {
  const environment = browser();
  const ran: string[] = [];
  await new Promise<void>((done) => {
    const cleared = environment.setTimeout(() => ran.push("cleared"), 0);
    environment.setTimeout(() => (ran.push("ran"), done()), 0);
    environment.clearTimeout(cleared);
  });
  assert.deepEqual(ran, ["ran"]);
  assert.ok(environment.random() < 1 && environment.now() > 1_700_000_000_000);
});
