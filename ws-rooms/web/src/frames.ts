// The frames of `tramline.v1` that a server sends, and how they are read (protocol/README.md).

/** Where one stands in a room: the number of the last event that was heard, within an epoch. */
export interface Place {
  readonly epoch: string;
  readonly offset: number;
}

/** A place and its room. */
export interface RoomPlace extends Place {
  readonly room: string;
}

/** What the envelope of an event says: the attributes of CloudEvents, and the data. */
export interface RoomEvent<Type extends string = string, Data = unknown> {
  readonly id: string;
  readonly type: Type;
  readonly source?: string;
  readonly specversion?: string;
  readonly subject?: string;
  /** RFC 3339. */
  readonly time?: string;
  /** `undefined` where an event has none. */
  readonly data: Data;
}

/** Who is in a room, and with how many connections. */
export interface Member {
  readonly userId: string;
  readonly connections: number;
}

/** Who is in a room. */
export interface Present {
  /** By user id. Of a room with more than 1,000 users the server lists these alone. */
  readonly members: readonly Member[];
  /** How many users there are. */
  readonly total: number;
}

/** Why a room's place jumped, in the server's words. */
export type WireGapReason = "slow" | "trimmed" | "source" | "epoch" | "too_many";

type Answer<Type extends string> = { readonly type: Type; readonly id?: string | number };

export type Welcome = {
  readonly type: "welcome";
  readonly connectionId: string;
  readonly userId: string;
  readonly rooms: readonly RoomPlace[];
  readonly heartbeatSeconds: number;
  readonly expiresAt: string;
  readonly limits: { readonly messagesPerSecond?: number };
};
export type EventFrame = { readonly type: "event"; readonly room: string; readonly offset: number; readonly event: RoomEvent };
export type PositionFrame = { readonly type: "position"; readonly room: string; readonly offset: number; readonly id: string };
export type GapFrame = { readonly type: "gap"; readonly reason: WireGapReason } & RoomPlace;
export type Subscribed = Answer<"subscribed"> &
  RoomPlace & {
    readonly recovered?: boolean;
    readonly reason?: WireGapReason;
    readonly events: readonly { readonly offset: number; readonly event: RoomEvent }[];
  };
export type Unsubscribed = Answer<"unsubscribed"> & { readonly room: string; readonly reason?: string };
export type Presence = Answer<"presence"> & { readonly room: string; readonly members: readonly Member[]; readonly total?: number };
export type Authenticated = Answer<"authenticated"> & { readonly expiresAt: string; readonly rooms?: readonly RoomPlace[] };
export type ErrorFrame = Answer<"error"> & { readonly code: string; readonly message: string; readonly retry: boolean };
export type Goodbye = { readonly type: "goodbye"; readonly code: number; readonly reason: string; readonly retryAfterMs?: number };

/** Every frame that the client acts on. */
export type ServerFrame =
  | Welcome
  | EventFrame
  | PositionFrame
  | GapFrame
  | Subscribed
  | Unsubscribed
  | Presence
  | Authenticated
  | ErrorFrame
  | Goodbye
  | { readonly type: "joined" | "left"; readonly room: string; readonly userId: string }
  | { readonly type: "ping"; readonly expiresAt?: string }
  | Answer<"pong">;

type Shape = { readonly [field: string]: "string" | "number" | "boolean" | "object" | Shape[] };

const PLACE: Shape = { room: "string", epoch: "string", offset: "number" };
const PERSON: Shape = { room: "string", userId: "string" };

/** What must be there. Fields that may be left out are believed where they are used. */
const SHAPES: { readonly [Type in ServerFrame["type"]]: Shape } = {
  welcome: {
    connectionId: "string",
    userId: "string",
    rooms: [PLACE],
    heartbeatSeconds: "number",
    expiresAt: "string",
    limits: "object",
  },
  event: { room: "string", offset: "number", event: "object" },
  position: { room: "string", offset: "number", id: "string" },
  gap: { ...PLACE, reason: "string" },
  subscribed: { ...PLACE, events: [{ offset: "number", event: "object" }] },
  unsubscribed: { room: "string" },
  presence: { room: "string", members: [{ userId: "string", connections: "number" }] },
  authenticated: { expiresAt: "string" },
  error: { code: "string", message: "string", retry: "boolean" },
  goodbye: { code: "number", reason: "string" },
  joined: PERSON,
  left: PERSON,
  ping: {},
  pong: {},
};

/**
 * Reads a frame; `undefined` for a type that a later server may send.
 *
 * Throws when it is none of `tramline.v1`: what it was to tell is lost then, and only a new connection recovers it.
 */
export function parse(text: string): ServerFrame | undefined {
  const frame: unknown = JSON.parse(text);
  if (!fits({ type: "string" }, frame)) throw new TypeError("not a frame");
  const type = (frame as { type: string }).type;
  // Not `in`: `constructor` is no type of ours.
  if (!Object.hasOwn(SHAPES, type)) return undefined;
  if (!fits(SHAPES[type as ServerFrame["type"]], frame)) throw new TypeError("not a frame");
  return frame as ServerFrame;
}

function fits(shape: Shape, value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.entries(shape).every(([field, kind]) => {
    const found: unknown = (value as Record<string, unknown>)[field];
    if (Array.isArray(kind)) return Array.isArray(found) && found.every((item) => fits(kind[0]!, item));
    if (kind === "object") return fits({}, found);
    // Offsets are counted on with exactly.
    return typeof found === kind && (kind !== "number" || (Number.isSafeInteger(found) && (found as number) >= 0));
  });
}
