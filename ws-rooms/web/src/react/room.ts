"use client";
// One room.

import { useEffect, useInsertionEffect, useRef } from "react";

import type { Listener, RoomEvent, Update } from "../index.js";
import { hand } from "../updates.js";
import { type RegisteredEvents, useClient } from "./provider.js";
import { Shared, useShared } from "./shared.js";
import { stay } from "./stay.js";

/** Where one is with a room; the same object until it changes. */
export type RoomStatus =
  /** No room was named. */
  | { readonly status: "off" }
  /** On the way: there is no connection, or the room's answer is awaited. What was missed comes before `live`. */
  | { readonly status: "joining" }
  | { readonly status: "live" }
  /** Not open to you (`FORBIDDEN`, …), or the client has stopped (`CLOSED`). Asked for again when it opens anew. */
  | { readonly status: "ended"; readonly code: string; readonly message: string };

const OFF: RoomStatus = { status: "off" };
const JOINING: RoomStatus = { status: "joining" };
const LIVE: RoomStatus = { status: "live" };

const statuses = new Shared<RoomStatus>(JOINING, (rooms, room, show) => {
  let now: RoomStatus = JOINING;
  const set = (status: RoomStatus) => show((now = status));
  const stop = stay(rooms, room, (update) => {
    if (update.kind === "live") set(LIVE);
    else if (update.kind === "ended") set({ status: "ended", code: update.code, message: update.message });
  });
  const unwatch = rooms.watch(({ phase }) => {
    // Between two connections nothing is live; what has ended stays so until there may be another answer.
    if (phase === "opening" || (phase === "waiting" && now === LIVE)) set(JOINING);
  });
  return () => {
    unwatch();
    stop();
  };
});

const latest = new Shared<RoomEvent | undefined>(undefined, (rooms, room, show) =>
  stay(rooms, room, (update) => {
    if (update.kind === "event") show(update.event);
    // The next user is another.
    else if (update.kind === "ended") show(undefined);
  }),
);

/**
 * Is in a room while the component is there, and calls `listener` for what happens in it; `null` is no room.
 *
 * Renders anew when the status changes, never for a message: what a listener shows it puts where it belongs. The
 * newest `listener` is called; it need not be the same one each time.
 */
export function useRoom<Name extends keyof RegisteredEvents & string>(
  room: Name | null,
  listener?: Listener<RegisteredEvents[Name]>,
): RoomStatus {
  const rooms = useClient();
  const newest = useRef(listener);
  // ORDER: before any other effect, so that nothing is told to a listener of an earlier rendering.
  useInsertionEffect(() => {
    newest.current = listener;
  });
  const listens = listener !== undefined;
  useEffect(() => {
    if (room === null || !listens) return undefined;
    return stay(rooms, room, (update: Update) => {
      if (newest.current) hand(newest.current as Listener<never>, update);
    });
  }, [rooms, room, listens]);
  const status = useShared(statuses, room);
  return room === null ? OFF : status;
}

/** A room's newest event since one looks at it. Renders anew for every event: for rooms that are quiet enough. */
export function useLatest<Name extends keyof RegisteredEvents & string>(
  room: Name | null,
): RegisteredEvents[Name] | undefined {
  return useShared(latest, room) as RegisteredEvents[Name] | undefined;
}
