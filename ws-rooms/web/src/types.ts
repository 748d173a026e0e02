// The frames of `tramline.v1`, from the Rust types. Written by `cargo dev types`: do not edit.

import type { RoomEvent } from "./frames.js";

/**
 * A frame from server to client. Unknown types and fields are kept out of the way, as the
 * protocol asks: a newer server must not break an older client.
 */
export type ServerFrame = { "type": "welcome" } & Welcome | { "type": "event" } & Numbered | { "type": "position" } & Moved | { "type": "gap" } & Gap | { "type": "joined" } & UserMoved | { "type": "left" } & UserMoved | { "type": "ping", 
/**
 * When the token ends.
 */
expiresAt?: string, } | { "type": "pong" } | { "type": "subscribed" } & Subscribed | { "type": "unsubscribed", 
/**
 * The request's id.
 */
id?: string | number, 
/**
 * The room, as it was asked for.
 */
room: string, 
/**
 * Why, when nobody asked.
 */
reason?: string, } | { "type": "presence" } & PresenceList | { "type": "authenticated" } & Authenticated | { "type": "error" } & ErrorFrame | { "type": "goodbye" } & Goodbye;

/**
 * `welcome`.
 */
export type Welcome = { 
/**
 * This connection's id.
 */
connectionId: string, 
/**
 * The user.
 */
userId: string, 
/**
 * The rooms that the server joined, each with its place from the start.
 */
rooms: Array<RoomPosition>, 
/**
 * After this many seconds without a frame the link is in doubt.
 */
heartbeatSeconds: number, 
/**
 * When the token ends.
 */
expiresAt: string, 
/**
 * What the server allows.
 */
limits: WireLimits, };

/**
 * A room and the place that the connection has in it.
 */
export type RoomPosition = { 
/**
 * The room.
 */
room: RoomId, 
/**
 * Its numbering.
 */
epoch: string, 
/**
 * Its last offset.
 */
offset: number, };

/**
 * The limits that a client should keep to.
 */
export type WireLimits = { 
/**
 * Bytes in a frame.
 */
frameBytes: number, 
/**
 * Rooms per connection.
 */
rooms: number, 
/**
 * Messages per second.
 */
messagesPerSecond: number, 
/**
 * Bytes that may wait for the client.
 */
queuedBytes: number, };

/**
 * `event`.
 */
export type Numbered = { 
/**
 * The room.
 */
room: RoomId, 
/**
 * The event's number in it.
 */
offset: number, 
/**
 * The event itself.
 */
event: RoomEvent, };

/**
 * `position`.
 */
export type Moved = { 
/**
 * The room.
 */
room: RoomId, 
/**
 * The offset it moved to.
 */
offset: number, 
/**
 * The event's id.
 */
id: string, };

/**
 * `gap`.
 */
export type Gap = { 
/**
 * The room.
 */
room: RoomId, 
/**
 * Its numbering from here on.
 */
epoch: string, 
/**
 * The offset after which events follow again.
 */
offset: number, 
/**
 * Why.
 */
reason: GapReason, };

/**
 * Why something was dropped for a connection.
 */
export type GapReason = "slow" | "source" | "trimmed";

/**
 * `joined` and `left`.
 */
export type UserMoved = { 
/**
 * The room.
 */
room: RoomId, 
/**
 * The user.
 */
userId: string, };

/**
 * `subscribed`.
 */
export type Subscribed = { 
/**
 * The request's id.
 */
id?: string | number, 
/**
 * The room.
 */
room: RoomId, 
/**
 * Its numbering.
 */
epoch: string, 
/**
 * Live events follow from the next offset on.
 */
offset: number, 
/**
 * Whether `events` holds everything missed; absent when nothing was asked for.
 */
recovered?: boolean, 
/**
 * Why not.
 */
reason?: NotRecovered, 
/**
 * What was missed.
 */
events: Array<Recovered>, };

/**
 * Why a recovery came with nothing.
 */
export type NotRecovered = "epoch" | "too_many" | "trimmed";

/**
 * An event in a recovery.
 */
export type Recovered = { 
/**
 * The event's number.
 */
offset: number, 
/**
 * The event itself.
 */
event: RoomEvent, };

/**
 * `presence`.
 */
export type PresenceList = { 
/**
 * The request's id.
 */
id?: string | number, 
/**
 * The room.
 */
room: RoomId, 
/**
 * Who is there, by user id: the first 1,000.
 */
members: Array<Member>, 
/**
 * How many users are there, when `members` are not all.
 */
total?: number, };

/**
 * A user in a room.
 */
export type Member = { 
/**
 * The user.
 */
userId: string, 
/**
 * How many of the user's connections are there.
 */
connections: number, };

/**
 * `authenticated`.
 */
export type Authenticated = { 
/**
 * The request's id.
 */
id?: string | number, 
/**
 * When the new token ends.
 */
expiresAt: string, 
/**
 * The rooms that the server has joined now.
 */
rooms: Array<RoomPosition>, };

/**
 * `error`.
 */
export type ErrorFrame = { 
/**
 * The request's id.
 */
id?: string | number, 
/**
 * A stable code.
 */
code: string, 
/**
 * A sentence for people.
 */
message: string, 
/**
 * Whether to try again.
 */
retry: boolean, };

/**
 * `goodbye`.
 */
export type Goodbye = { 
/**
 * The code of the close frame that follows.
 */
code: number, 
/**
 * Why.
 */
reason: string, 
/**
 * When to come back.
 */
retryAfterMs?: number, };

/**
 * A frame from client to server.
 */
export type Request = { "type": "subscribe", 
/**
 * The room's name, as written.
 */
room: string, 
/**
 * Where the client stands.
 */
since?: Position, } | { "type": "unsubscribe", 
/**
 * The room's name.
 */
room: string, } | { "type": "presence", 
/**
 * The room's name.
 */
room: string, } | { "type": "auth", 
/**
 * The access token.
 */
token: string, } | { "type": "ping" };

/**
 * A place in a room: offsets count from 1 within an epoch, 0 is «before the first».
 */
export type Position = { 
/**
 * Which numbering the offset belongs to; opaque.
 */
epoch: string, 
/**
 * The last event up to which everything is known.
 */
offset: number, };

/**
 * The name of a room: parts of `A-Za-z0-9._-` joined by colons, at most 128 bytes.
 *
 * Names are compared byte by byte, so two spellings are two rooms; the charset leaves nothing
 * to normalise.
 */
export type RoomId = string;

/** A request, and the id that its answer repeats. */
export type ClientFrame = Request & { id?: string | number };
