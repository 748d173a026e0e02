// What an application hears of a room.

import type { Place, RoomEvent, WireGapReason } from "./frames.js";

/**
 * Why something was not heard: the server's reasons, and of the client's own `"hole"` (a number is missing),
 * `"elsewhere"` (an event came in another room and is no longer at hand) and `"behind"` (this listener did not
 * take its updates in time).
 */
export type GapReason = WireGapReason | "hole" | "elsewhere" | "behind";

/** One thing that happened in a room. */
export type Update<Event = RoomEvent> =
  /** An event. A room's events come in order, each once. */
  | { readonly kind: "event"; readonly room: string; readonly offset: number; readonly event: Event }
  /** Something was not heard: load anew what the room feeds. */
  | { readonly kind: "gap"; readonly room: string; readonly reason: GapReason }
  /** From here on the room is live: after joining, and after each recovery. */
  | { readonly kind: "live"; readonly room: string; readonly place: Place }
  /** A user's first connection came into the room, or the last one left. */
  | { readonly kind: "joined" | "left"; readonly room: string; readonly userId: string }
  /** The last update: the room is not open to you (`FORBIDDEN`, …), or the client has stopped (`CLOSED`). */
  | { readonly kind: "ended"; readonly room: string; readonly code: string; readonly message: string };

/** Takes updates; or only some kinds of them. */
export type Listener<Event = RoomEvent> =
  | ((update: Update<Event>) => void)
  | { readonly [Kind in Update["kind"]]?: (update: Extract<Update<Event>, { readonly kind: Kind }>) => void };

/** Updates that wait for a slow loop; then the oldest go, and a gap says so. A whole recovery, 256 events, and as much again. */
const WAITING = 512;

/** Hands an update to a listener. */
export function hand(listener: Listener<never>, update: Update): void {
  if (typeof listener === "function") listener(update as Update<never>);
  else (listener[update.kind] as ((update: Update) => void) | undefined)?.call(listener, update);
}

/**
 * A room's updates, for `for await`. They are kept from the moment of subscribing, so nothing is missed before the
 * loop runs. Leaving the loop ends the subscription, and so does `return()`.
 */
export class Updates<Event = RoomEvent> implements AsyncIterableIterator<Update<Event>> {
  readonly #waiting: Update<Event>[] = [];
  #takers: ((result: IteratorResult<Update<Event>, undefined>) => void)[] = [];
  #done = false;
  readonly #stop: () => void;

  /** `start` is given the listener and returns how to stop. */
  constructor(start: (listener: (update: Update<Event>) => void) => () => void) {
    this.#stop = start((update) => this.#put(update));
  }

  /** The next update; waits for it. */
  next(): Promise<IteratorResult<Update<Event>, undefined>> {
    const value = this.#waiting.shift();
    if (value) return Promise.resolve({ value, done: false });
    if (this.#done) return Promise.resolve({ value: undefined, done: true });
    return new Promise((taker) => this.#takers.push(taker));
  }

  /** Ends the subscription. */
  return(): Promise<IteratorResult<Update<Event>, undefined>> {
    this.#waiting.length = 0;
    this.#end();
    this.#stop();
    return this.next();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #put(update: Update<Event>): void {
    if (this.#done) return;
    const taker = this.#takers.shift();
    if (taker) taker({ value: update, done: false });
    else {
      this.#waiting.push(update);
      if (this.#waiting.length > WAITING) {
        // The gap stands where the first of the dropped stood.
        this.#waiting.splice(0, 2, { kind: "gap", room: update.room, reason: "behind" });
      }
    }
    if (update.kind === "ended") this.#end();
  }

  #end(): void {
    this.#done = true;
    for (const taker of this.#takers) taker({ value: undefined, done: true });
    this.#takers = [];
  }
}
