// Links that break at random, and nodes that lose their numbering; the ledger must come out even.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Rooms } from "../src/index.js";
import { event, phase, settled, World } from "./support/world.js";

const ROOMS = ["user:ada", "payment:1", "broadcast"] as const;
const GIVEN = ["user:ada", "broadcast"];

/** As much of a server as numbers events and answers. */
class Server {
  readonly world: World;
  readonly client: Rooms;
  readonly logs: Map<string, string[]> = new Map(ROOMS.map((room) => [room, []]));
  #members = new Set<string>();
  #epoch = 1;
  #ids = 0;

  constructor(world: World, client: Rooms) {
    this.world = world;
    this.client = client;
  }

  get open(): boolean {
    return ["open", "recovering"].includes(phase(this.client.state));
  }

  welcome(): void {
    this.#members = new Set(GIVEN);
    this.world.peer.welcome(GIVEN.map((room) => ({ room, epoch: `${this.#epoch}`, offset: this.logs.get(room)!.length })));
  }

  /** An event: `event` in the first of the rooms that the connection is in, `position` in the others. */
  publish(rooms: readonly string[]): void {
    const id = `e${(this.#ids += 1)}`;
    for (const room of rooms) this.logs.get(room)!.push(id);
    const [first, ...others] = rooms.filter((room) => this.open && this.#members.has(room));
    const offset = (room: string) => this.logs.get(room)!.length;
    if (first) this.world.peer.receive(event(first, offset(first), id));
    for (const room of others) this.world.peer.receive({ type: "position", room, offset: offset(room), id });
  }

  /** Answers the next request, if there is one. */
  answer(): boolean {
    const { peer } = this.world;
    const request = this.open ? peer.inbox.shift() : undefined;
    if (!request) return false;
    const { id, room, since } = request as { id: string; room: string; since?: { epoch: string; offset: number } };
    const log = this.logs.get(room)!;
    const place = { type: "subscribed", id, room, epoch: `${this.#epoch}`, offset: log.length };
    this.#members.add(room);
    if (!since) peer.receive({ ...place, events: [] });
    else if (since.epoch !== place.epoch) peer.receive({ ...place, recovered: false, reason: "epoch", events: [] });
    else {
      const events = log.slice(since.offset).map((id, n) => ({ offset: since.offset + n + 1, event: { id, type: "t" } }));
      peer.receive({ ...place, recovered: true, events });
    }
    return true;
  }

  /** The link breaks; with it, at times, the node that had the logs. */
  async break(node: boolean): Promise<void> {
    if (this.open) this.world.peer.end(1006);
    if (node) {
      this.#epoch += 1;
      for (const log of this.logs.values()) log.length = 0;
    }
    await this.comeBack();
  }

  async comeBack(): Promise<void> {
    await settled();
    if (this.client.state.phase === "waiting") await this.world.advance(this.client.state.delayMs);
  }
}

test("no hole, nothing twice, nothing left behind, however links break", async () => {
  let [events, recoveries] = [0, 0];
  for (let seed = 1; seed <= 200; seed += 1) {
    const draw = generator(seed);
    const world = new World();
    const client = world.client().open();
    const server = new Server(world, client);
    const heard = new Map<string, number[]>(ROOMS.map((room) => [room, []]));
    for (const [room, offsets] of heard) {
      client.on(room, (update) => {
        if (update.kind === "event") (events += 1), offsets.push(update.offset);
        // Whatever is there is loaded anew, and the count goes on behind it.
        if (update.kind === "gap") offsets.length = 0;
        if (update.kind === "live") recoveries += 1;
      });
    }
    for (let step = 0; step < 120; step += 1) {
      await settled();
      const what = draw(10);
      if (what < 5) server.publish(draw(2) === 0 ? ROOMS : [ROOMS[draw(3)]!]);
      else if (what < 8) server.answer();
      else if (what === 8) await server.break(draw(6) === 0);
      else if (phase(client.state) === "opening") server.welcome();
    }
    // The storm is over: one more connection, and everything is asked and answered.
    await server.break(false);
    server.welcome();
    while (server.answer()) await settled();
    assert.equal(phase(client.state), "open");
    server.publish(ROOMS);

    for (const [room, offsets] of heard) {
      const first = offsets[0]!;
      assert.deepEqual(offsets, offsets.map((_, n) => first + n), `seed ${seed}, ${room}`);
      assert.equal(offsets.at(-1), server.logs.get(room)!.length, `seed ${seed}, ${room}`);
    }
    assert.deepEqual(world.reported, []);
  }
  // A storm that does nothing proves nothing.
  assert.ok(events > 5_000 && recoveries > 2_000, `${events} events, ${recoveries} times live`);
});

/** Says the same numbers for the same seed: mulberry32. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
