// The rooms, and where we stand in each. No IO and no time: what is to be sent is asked for with `next`.

import type { EventFrame, GapFrame, Place, PositionFrame, RoomEvent, RoomPlace, Subscribed } from "./frames.js";
import { Recent } from "./recent.js";
import { type GapReason, hand, type Listener, type Update } from "./updates.js";

/**
 * `due`: to be subscribed to. `asked`: the answer is awaited, and holds whatever comes live meanwhile. `later`: it was
 * «not now». `in`: live. `leaving`: to be left. `out`: neither in nor wanted, kept only for its place.
 */
type Stage = "due" | "asked" | "later" | "in" | "leaving" | "out";

interface Room {
  readonly name: string;
  readonly listeners: Set<Listener<never>>;
  stage: Stage;
  place: Place | undefined;
  /** The server put us there: nothing to subscribe to, nothing to leave. */
  given: boolean;
  /** Its place was sent along with the question. */
  since: boolean;
  /** How often it was refused for now; the others do not wait for it. */
  refusals: number;
}

/** What is to be sent for a room. */
export type RoomRequest =
  | { readonly type: "subscribe"; readonly room: string; readonly since?: Place }
  | { readonly type: "unsubscribe"; readonly room: string };

/** Every room that is wanted or was given. Bounded by what the application wants and the server gives. */
export class Book {
  readonly #rooms = new Map<string, Room>();
  #all = new Set<Listener<never>>();
  #recent = new Recent();
  readonly #report: (error: unknown) => void;

  constructor(report: (error: unknown) => void) {
    this.#report = report;
  }

  place(name: string): Place | undefined {
    return this.#rooms.get(name)?.place;
  }

  // === What the application wants ===

  /** Listens to every room that one is in, wanted or given. */
  all(listener: Listener<never>): () => void {
    // Of this time: once the end is told there is another.
    const all = this.#all.add(listener);
    return () => all.delete(listener);
  }

  /** Wants a room. What is returned listens no longer; whether nobody does. The room itself stays until `leave`. */
  want(name: string, listener: Listener<never>): () => boolean {
    const room = this.#room(name, "due");
    room.listeners.add(listener);
    if (room.stage === "out") room.stage = "due";
    // Nobody has told the server yet.
    if (room.stage === "leaving") room.stage = "in";
    if (room.stage === "in" && room.place) this.#tell(listener, { kind: "live", room: name, place: room.place });
    // Of this room, not of its name: while its end is told, the name has none, or another.
    return () => room.listeners.delete(listener) && room.listeners.size === 0;
  }

  /** Leaves a room that nobody wants any more. */
  leave(name: string): void {
    const room = this.#rooms.get(name);
    if (!room || room.listeners.size > 0 || room.given) return;
    if (room.stage === "in") room.stage = "leaving";
    // One that was asked for is left when the answer is there.
    else if (room.stage !== "asked") this.#rooms.delete(name);
  }

  // === What the connection does ===

  /** What is to be sent next, if anything. The caller sends it. */
  next(): RoomRequest | undefined {
    for (const room of this.#rooms.values()) {
      if (room.stage === "leaving") {
        room.stage = "out";
        return { type: "unsubscribe", room: room.name };
      }
      if (room.stage === "due") {
        room.stage = "asked";
        room.since = room.place !== undefined;
        return { type: "subscribe", room: room.name, ...(room.place && { since: room.place }) };
      }
    }
    return undefined;
  }

  /** Whether each room has been answered, if only with «not now». */
  settled(): boolean {
    for (const { stage, refusals } of this.#rooms.values()) {
      if ((stage === "due" || stage === "asked") && !refusals) return false;
    }
    return true;
  }

  /** The connection is gone; places stay. */
  lost(): void {
    for (const room of this.#rooms.values()) {
      room.stage = room.listeners.size > 0 ? "due" : "out";
      room.refusals = 0;
      // A room that was wanted until a moment ago.
      if (room.stage === "out" && !room.given) this.#rooms.delete(room.name);
    }
  }

  /** The rooms of a `welcome`: these, and no others. */
  welcome(places: readonly RoomPlace[]): void {
    const names = new Set(places.map(({ room }) => room));
    for (const room of this.#rooms.values()) {
      if (names.has(room.name)) continue;
      room.given = false;
      if (room.listeners.size === 0) this.#rooms.delete(room.name);
    }
    this.given(places);
  }

  /** Rooms that the server put us into, or has put us into already: their places now. */
  given(places: readonly RoomPlace[]): void {
    for (const { room: name, epoch, offset } of places) {
      const room = this.#room(name, "out");
      room.given = true;
      // Its answer will say what was missed.
      if (room.stage === "asked") continue;
      const behind = room.place && (room.place.epoch !== epoch || room.place.offset !== offset);
      if (behind && this.#heard(room)) {
        room.stage = "due";
        continue;
      }
      room.place = { epoch, offset };
      if (room.stage !== "in") this.#live(room);
      if (this.#gone(room)) return;
    }
  }

  // === What comes ===

  subscribed(frame: Subscribed): void {
    const room = this.#rooms.get(frame.room);
    if (room?.stage !== "asked") return;
    let reason: GapReason | undefined;
    if (room.since && !frame.recovered) reason = frame.reason ?? "trimmed";
    for (const { offset, event } of frame.events) {
      if (room.place && offset <= room.place.offset) continue;
      // Whole or not at all is the server's promise; one that it breaks is not ours to hide.
      if (room.place && offset !== room.place.offset + 1) reason ??= "hole";
      room.place = { epoch: frame.epoch, offset };
      this.#event(room, offset, event);
      if (this.#gone(room)) return;
    }
    if (frame.recovered && room.place?.offset !== frame.offset) reason ??= "hole";
    room.place = { epoch: frame.epoch, offset: frame.offset };
    if (reason) this.#gap(room, reason);
    this.#live(room);
    // The last who wanted it went while we waited.
    this.leave(frame.room);
  }

  /** Left by our own wish. */
  unsubscribed(name: string): void {
    const room = this.#rooms.get(name);
    if (room?.stage === "out") this.#rooms.delete(name);
  }

  /** The room cannot be joined, or was taken away. */
  refused(name: string, code: string, message: string): void {
    const room = this.#rooms.get(name);
    if (!room) return;
    this.#rooms.delete(name);
    this.#hear(room, { kind: "ended", room: name, code, message });
  }

  /** «Not now», to joining or leaving. What is returned makes it due again; the time is the caller's affair. */
  postponed(name: string, what: RoomRequest["type"]): () => void {
    const room = this.#rooms.get(name);
    // A room that is asked for again by then is not left; that it cannot be left says nothing about joining.
    if (what !== "subscribe" || room?.stage !== "asked") return () => room?.stage === "out" && (room.stage = "leaving");
    room.stage = "later";
    const refusals = (room.refusals += 1);
    this.leave(name);
    return () => room.stage === "later" && room.refusals === refusals && (room.stage = "due");
  }

  event({ room: name, offset, event }: EventFrame): void {
    const room = this.#advance(name, offset);
    if (room) this.#event(room, offset, event);
    // Another room may name it before the answer brings it here.
    else this.#recent.keep(event);
  }

  position({ room: name, offset, id }: PositionFrame): void {
    const room = this.#advance(name, offset);
    if (!room) return;
    const event = this.#recent.position(name, id);
    if (event === "heard") return;
    if (event) this.#event(room, offset, event);
    else this.#gap(room, "elsewhere");
  }

  gap({ room: name, epoch, offset, reason }: GapFrame): void {
    const room = this.#rooms.get(name);
    if (!room) return;
    // While an answer is awaited the place is what was asked from.
    if (room.stage === "in") room.place = { epoch, offset };
    this.#gap(room, reason);
  }

  people(kind: "joined" | "left", name: string, userId: string): void {
    const room = this.#rooms.get(name);
    if (room) this.#hear(room, { kind, room: name, userId });
  }

  /** The end: tells everyone, and forgets everything. */
  clear(code: string, message: string): void {
    const rooms = [...this.#rooms.values()];
    const all = this.#all;
    // ORDER: first, since whoever hears the end may want something new.
    this.#rooms.clear();
    this.#all = new Set();
    this.#recent = new Recent();
    for (const room of rooms) this.#hear(room, { kind: "ended", room: room.name, code, message }, false);
    for (const listener of all) this.#tell(listener, { kind: "ended", room: "*", code, message });
  }

  #room(name: string, stage: Stage): Room {
    let room = this.#rooms.get(name);
    if (!room) {
      room = { name, listeners: new Set(), stage, place: undefined, given: false, since: false, refusals: 0 };
      this.#rooms.set(name, room);
    }
    return room;
  }

  /** Moves a live room's place to the next number; the room if the number is new. */
  #advance(name: string, offset: number): Room | undefined {
    const room = this.#rooms.get(name);
    if (room?.stage !== "in" || !room.place || offset <= room.place.offset) return undefined;
    if (offset !== room.place.offset + 1 && this.#heard(room)) {
      // A number is missing, which the server says cannot be: ask for it instead of going on.
      room.stage = "due";
      return undefined;
    }
    room.place = { epoch: room.place.epoch, offset };
    return room;
  }

  #heard(room: Room): boolean {
    return room.listeners.size > 0 || this.#all.size > 0;
  }

  #live(room: Room): void {
    room.stage = "in";
    this.#hear(room, { kind: "live", room: room.name, place: room.place! });
  }

  #gap(room: Room, reason: GapReason): void {
    this.#hear(room, { kind: "gap", room: room.name, reason });
  }

  #event(room: Room, offset: number, event: RoomEvent): void {
    const { here, anywhere } = this.#recent.event(room.name, event);
    if (here) this.#hear(room, { kind: "event", room: room.name, offset, event }, anywhere);
  }

  /** Ended, perhaps by a listener that is being called. */
  #gone(room: Room): boolean {
    return this.#rooms.get(room.name) !== room;
  }

  #hear(room: Room, update: Update, byAll = true): void {
    // Copies: a listener may come and go while it is called.
    for (const listener of [...room.listeners, ...(byAll ? this.#all : [])]) {
      // ORDER: nothing comes after the end.
      if (update.kind !== "ended" && this.#gone(room)) return;
      if (room.listeners.has(listener) || this.#all.has(listener)) this.#tell(listener, update);
    }
  }

  #tell(listener: Listener<never>, update: Update): void {
    try {
      hand(listener, update);
    } catch (error) {
      // Its fault is not the others' loss.
      this.#report(error);
    }
  }
}
