// Events heard a moment ago, by id.

import type { RoomEvent } from "./frames.js";

/** Ids remembered; the oldest goes. As many as a room's history holds, so that a whole recovery is covered. */
const IDS = 256;
/** Events kept whole; the oldest goes. A `position` follows its `event` closely, and an event may have 64 KiB. */
const WHOLE = 32;

/** Which events were heard, and in which rooms. */
export class Recent {
  readonly #rooms = new Map<string, Set<string>>();
  readonly #whole = new Map<string, RoomEvent>();

  /** An event came; nobody has heard it yet, or somebody has: the rooms where. */
  keep(event: RoomEvent): Set<string> {
    let rooms = this.#rooms.get(event.id);
    if (!rooms) {
      put(this.#rooms, event.id, (rooms = new Set()), IDS);
      put(this.#whole, event.id, event, WHOLE);
    }
    return rooms;
  }

  /** An event is to be heard in a room: whether it is new to that room, and new at all. */
  event(room: string, event: RoomEvent): { here: boolean; anywhere: boolean } {
    // Without an id nothing tells a repetition.
    if (typeof event.id !== "string") return { here: true, anywhere: true };
    const rooms = this.keep(event);
    const news = { here: !rooms.has(room), anywhere: !rooms.size };
    rooms.add(room);
    return news;
  }

  /** It is told to be in another room too: the event, `"heard"` there already, or `undefined` when it is not known. */
  position(room: string, id: string): RoomEvent | "heard" | undefined {
    return this.#rooms.get(id)?.has(room) ? "heard" : this.#whole.get(id);
  }
}

function put<Value>(map: Map<string, Value>, id: string, value: Value, most: number): void {
  map.set(id, value);
  // A map is in the order of its making.
  if (map.size > most) for (const oldest of map.keys()) return void map.delete(oldest);
}
