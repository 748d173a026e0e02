"use client";
// `@tramline/ws-rooms/query`: queries of TanStack Query that rooms keep fresh.

export { type RealTimeOptions, useRealTimeQuery } from "./hook.js";
