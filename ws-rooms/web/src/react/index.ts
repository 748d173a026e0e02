"use client";
// `@tramline/ws-rooms/react`: rooms as hooks.

export { type PresenceState, usePresence } from "./presence.js";
export { type Register, type RegisteredEvents, RoomsProvider, useRooms } from "./provider.js";
export { type RoomStatus, useLatest, useRoom } from "./room.js";
