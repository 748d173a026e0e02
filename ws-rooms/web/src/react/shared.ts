"use client";
// What several components show of the same room, kept once for all of them.

import { useCallback, useSyncExternalStore } from "react";

import { type AnyRooms, useClient } from "./provider.js";

/** How long a value stays after the last component: as long as the client keeps the room itself. */
export const LINGER = 1_000;

/** Follows a room and says what is to be shown; returns how to stop that. */
export type Follow<Value> = (rooms: AnyRooms, room: string, show: (value: Value) => void) => () => void;

interface Held<Value> {
  value: Value;
  readonly watchers: Set<() => void>;
  stop: () => void;
  /** Runs while nobody watches. */
  timer: ReturnType<typeof setTimeout> | undefined;
}

/**
 * One value for each client and room. It begins with the first component and ends a second after the last, so that
 * a component that is mounted twice, as StrictMode does, costs nothing. Bounded by what is mounted.
 */
export class Shared<Value> {
  readonly initial: Value;
  readonly #follow: Follow<Value>;
  readonly #held = new WeakMap<AnyRooms, Map<string, Held<Value>>>();

  constructor(initial: Value, follow: Follow<Value>) {
    this.initial = initial;
    this.#follow = follow;
  }

  /** What is to be shown now. The same value until it changes; reading begins nothing. */
  read(rooms: AnyRooms, room: string): Value {
    const held = this.#held.get(rooms)?.get(room);
    return held ? held.value : this.initial;
  }

  /** Calls `watcher`, which nobody else has, at each change. */
  watch(rooms: AnyRooms, room: string, watcher: () => void): () => void {
    let all = this.#held.get(rooms);
    if (!all) this.#held.set(rooms, (all = new Map()));
    let held = all.get(room);
    if (!held) {
      const made: Held<Value> = { value: this.initial, watchers: new Set(), stop: () => {}, timer: undefined };
      made.stop = this.#follow(rooms, room, (value) => {
        made.value = value;
        for (const watcher of [...made.watchers]) watcher();
      });
      // ORDER: last, since a name that is none throws.
      all.set(room, (held = made));
    }
    const { watchers } = held;
    clearTimeout(held.timer);
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
      if (watchers.size > 0) return;
      held.timer = setTimeout(() => {
        all.delete(room);
        held.stop();
      }, LINGER);
    };
  }
}

/** The value for a room; the initial one without a room, on servers, and while a server's page is hydrated. */
export function useShared<Value>(shared: Shared<Value>, room: string | null): Value {
  const rooms = useClient();
  const watch = useCallback(
    (watcher: () => void) => (room === null ? () => {} : shared.watch(rooms, room, watcher)),
    [shared, rooms, room],
  );
  const read = () => (room === null ? shared.initial : shared.read(rooms, room));
  return useSyncExternalStore(watch, read, () => shared.initial);
}
