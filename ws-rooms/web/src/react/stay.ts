// Listening for as long as a component is there, which may be longer than the client is open.

import type { Update } from "../index.js";
import type { AnyRooms } from "./provider.js";

/**
 * Listens to a room until it is stopped. After the client was closed the room is wanted again at once, for whoever
 * opens it next; one that was refused is asked for again on the next connection, whose user may have other rights.
 */
export function stay(rooms: AnyRooms, room: string, listener: (update: Update) => void): () => void {
  let refused = false;
  let stop = () => {};
  const begin = () => {
    refused = false;
    stop = rooms.on(room, (update) => {
      if (update.kind === "ended") {
        if (update.code === "CLOSED") begin();
        else refused = true;
      }
      listener(update);
    });
  };
  begin();
  const unwatch = rooms.watch(({ phase }) => {
    if (refused && phase === "opening") begin();
  });
  return () => {
    unwatch();
    stop();
  };
}
