"use client";
// Who is in a room.

import { RoomsError } from "../errors.js";
import type { RegisteredEvents } from "./provider.js";
import { Shared, useShared } from "./shared.js";
import { stay } from "./stay.js";

/** What is known of who is there; the same object until it changes. */
export type PresenceState =
  /** Not yet, or no room was named. */
  | { readonly status: "asking" }
  /**
   * Users, each once; who came later stands later. `total`: how many there are, more than `users` in a room that is
   * too large to be listed. Over a lost connection it is the last that was known.
   */
  | { readonly status: "known"; readonly users: readonly string[]; readonly total: number }
  /** Not told here, or the room is not open to you (`FORBIDDEN`, …). Asked for again when the client opens anew. */
  | { readonly status: "failed"; readonly error: RoomsError };

/** When to ask again for what could not be told; times 0.5 to 1.5, so that many do not ask at once. */
const LATER = 2_000;
const ASKING: PresenceState = { status: "asking" };

const present = new Shared<PresenceState>(ASKING, (rooms, room, show) => {
  let users: Set<string> | undefined;
  /** Those that were not listed. */
  let unlisted = 0;
  let question: AbortController | undefined;
  let again: ReturnType<typeof setTimeout> | undefined;
  /** The room itself was refused. */
  let refused = false;
  /** Who came and went since the question: the answer may be older or newer than that, and the last word counts. */
  let moved = new Map<string, boolean>();

  const tell = () => show({ status: "known", users: [...users!], total: users!.size + unlisted });
  const move = (userId: string, here: boolean) => {
    if (here) users!.add(userId);
    else if (!users!.delete(userId) && unlisted) unlisted -= 1;
  };
  const forget = () => {
    clearTimeout(again);
    question?.abort();
    question = undefined;
  };
  const ask = () => {
    forget();
    const mine = (question = new AbortController());
    moved = new Map();
    rooms.presence(room, { signal: mine.signal }).then(
      ({ members, total }) => {
        if (mine !== question) return;
        question = undefined;
        users = new Set(members.map(({ userId }) => userId));
        unlisted = total - users.size;
        for (const [userId, here] of moved) move(userId, here);
        tell();
      },
      (error: unknown) => {
        if (mine !== question || !(error instanceof RoomsError)) return;
        question = undefined;
        if (error.retry) again = setTimeout(ask, LATER * (0.5 + Math.random()));
        else show({ status: "failed", error });
      },
    );
  };

  const stop = stay(rooms, room, (update) => {
    if (update.kind === "live") ask();
    else if (update.kind === "joined" || update.kind === "left") {
      const here = update.kind === "joined";
      if (question) moved.set(update.userId, here);
      if (users) {
        move(update.userId, here);
        tell();
      }
    } else if (update.kind === "ended") {
      forget();
      users = undefined;
      refused = update.code !== "CLOSED";
      show(refused ? { status: "failed", error: new RoomsError(update.code, update.message, false) } : ASKING);
    }
  });
  const unwatch = rooms.watch(({ phase }) => {
    // There may be another answer now, and another user.
    if (refused && phase === "opening") {
      refused = false;
      show(ASKING);
    }
  });
  return () => {
    forget();
    unwatch();
    stop();
  };
});

/** Who is in a room, which one joins for it; `null` is no room. Renders anew when somebody comes or goes. */
export function usePresence(room: (keyof RegisteredEvents & string) | null): PresenceState {
  return useShared(present, room);
}
