"use client";
// The client, handed down to components.

import { createContext, createElement, type ReactNode, useCallback, useContext, useSyncExternalStore } from "react";

import type { RoomEvent, Rooms, State } from "../index.js";

/**
 * Where an application says what its rooms carry:
 * `declare module "@tramline/ws-rooms/react" { interface Register { events: Events } }`.
 */
export interface Register {}

/** The events that were registered; any, where none were. */
export type RegisteredEvents = Register extends { readonly events: infer Events extends object }
  ? Events
  : Record<string, RoomEvent>;

/** The client as the hooks use it: they take their types from `RegisteredEvents` at their own edges. */
export type AnyRooms = Rooms<Record<string, RoomEvent>>;

const Client = createContext<AnyRooms | undefined>(undefined);
const IDLE: State = { phase: "idle" };

/** Hands `rooms` to the hooks below. Opening and closing it stays the application's affair. */
export function RoomsProvider(props: {
  readonly rooms: Rooms<RegisteredEvents>;
  readonly children?: ReactNode;
}): ReactNode {
  return createElement(Client.Provider, { value: props.rooms as unknown as AnyRooms }, props.children);
}

/** The client, and where it is. Renders anew when its state changes, never for a message. */
export function useRooms(): { readonly rooms: Rooms<RegisteredEvents>; readonly state: State } {
  const rooms = useClient();
  const watch = useCallback((watcher: () => void) => rooms.watch(watcher), [rooms]);
  // Whoever renders on a server has no connection, and hydration starts from the same.
  const state = useSyncExternalStore(watch, () => rooms.state, () => IDLE);
  return { rooms: rooms as unknown as Rooms<RegisteredEvents>, state };
}

/** The client alone. */
export function useClient(): AnyRooms {
  const rooms = useContext(Client);
  if (!rooms) throw new Error("no <RoomsProvider> above this component");
  return rooms;
}
