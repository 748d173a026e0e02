// Runs the scripts of `protocol/vectors/{positions,offline}.json` (their README says what the steps mean).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import type { Update } from "../../src/index.js";
import { RoomsError } from "../../src/index.js";
import { settled, World } from "./world.js";

type Json = Record<string, any>;

export function vectors<Vector = Json>(name: string): Vector[] {
  return JSON.parse(readFileSync(new URL(`../../../../protocol/vectors/${name}`, import.meta.url), "utf8")) as Vector[];
}

export async function play({ steps }: { steps: Json[] }): Promise<void> {
  const world = new World();
  const rooms = world.client().open();
  const bound = new Map<string, unknown>();
  const wanted = new Map<string, () => void>();
  let heard: Json[] = [];
  let ends: Record<string, string> = {};
  const ask = (name: string, room: string, timeoutMs?: number) => {
    rooms.presence(room, timeoutMs === undefined ? {} : { timeoutMs }).then(
      () => (ends[name] = "answered"),
      (error: unknown) => (ends[name] = error instanceof RoomsError ? error.code : String(error)),
    );
  };
  await settled();
  for (const step of steps) {
    if (step["want"]) wanted.set(step["want"], rooms.on(step["want"], (update) => heard.push(brief(update))));
    else if (step["wantAny"]) rooms.onAny((update) => heard.push({ any: true, ...brief(update) }));
    else if (step["leave"]) wanted.get(step["leave"])!();
    else if (step["welcome"]) world.peer.welcome(step["welcome"]);
    else if (step["receive"]) world.peer.receive(fill(step["receive"], bound));
    else if (step["sends"] === null) assert.deepEqual(world.peer.inbox, []);
    else if (step["sends"]) bind(step["sends"], world.peer.next(), bound);
    else if (step["hears"]) {
      assert.deepEqual(heard, step["hears"]);
      heard = [];
    } else if (step["place"]) {
      const { room, epoch, offset } = step["place"];
      assert.deepEqual({ ...rooms.place(room) }, { epoch, offset });
    } else if (step["lost"]) {
      assert.deepEqual(world.peer.inbox, []);
      const before = world.peers.length;
      world.peer.end(step["lost"]);
      await settled();
      if (rooms.state.phase === "waiting") await world.advance(rooms.state.delayMs);
      assert.equal(world.peers.length, before + (rooms.state.phase === "stopped" ? 0 : 1));
    } else if (step["advanceMs"]) await world.advance(step["advanceMs"]);
    else if (step["ask"]) ask(step["ask"], step["room"], step["timeoutMs"]);
    else if (step["askMany"]) for (let n = 0; n < step["askMany"]; n += 1) ask(`many ${n}`, `many:${n}`);
    else if (step["ends"]) {
      assert.deepEqual(ends, step["ends"]);
      ends = {};
    } else assert.fail(`no such step: ${JSON.stringify(step)}`);
    await settled();
  }
  assert.deepEqual(world.peer.inbox, [], "sent at the end");
  assert.deepEqual(heard, [], "heard at the end");
  assert.deepEqual(world.reported, []);
}

function brief(update: Update): Json {
  const { room } = update;
  switch (update.kind) {
    case "event":
      return { room, event: update.event.id, offset: update.offset };
    case "gap":
      return { room, gap: update.reason };
    case "live":
      return { room, live: update.place.offset };
    case "ended":
      return { room, ended: update.code };
    default:
      return { room, [update.kind]: update.userId };
  }
}

/** Puts what is bound in the place of its name. */
function fill(value: any, bound: ReadonlyMap<string, unknown>): any {
  if (typeof value === "string" && value.startsWith("$")) {
    assert.ok(bound.has(value), `${value} is not bound`);
    return bound.get(value);
  }
  if (Array.isArray(value)) return value.map((item) => fill(item, bound));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, bound)]));
}

/** Compares, and binds names where they come first. */
function bind(expected: Json, found: Json, bound: Map<string, unknown>): void {
  const filled = { ...expected };
  for (const [key, value] of Object.entries(expected)) {
    if (typeof value !== "string" || !value.startsWith("$")) continue;
    if (!bound.has(value)) bound.set(value, found[key]);
    filled[key] = bound.get(value);
  }
  assert.deepEqual(found, filled);
}
