// `@tramline/ws-rooms`: rooms that never lose their place.

export { browser, type Environment, type Socket } from "./environment.js";
export { RoomsError } from "./errors.js";
export type { Member, Place, Present, RoomEvent } from "./frames.js";
export type { RequestOptions } from "./requests.js";
export { Rooms, type RoomsOptions } from "./rooms.js";
export type { State, StopReason } from "./state.js";
export type { Credential, CredentialSource } from "./tokens.js";
export type { GapReason, Listener, Update, Updates } from "./updates.js";
