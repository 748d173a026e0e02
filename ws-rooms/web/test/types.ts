// The types that are written from Rust, held against what the client sends and relies on. The compiler does the work.

import type { RoomRequest } from "../src/book.js";
import type * as client from "../src/frames.js";
import type { Question } from "../src/requests.js";
import type * as server from "../src/types.js";

/** Compiles if each `From` is a `To`. */
type Fits<From extends To, To> = From;

/** Frames that the server sends, as far as the client acts on them. */
export type Read = Fits<server.ServerFrame, client.ServerFrame>;

/** What the client sends. `ping` and `auth` are written where they are sent. */
export type Sent = Fits<
  (RoomRequest | Question | { type: "ping" } | { type: "auth"; token: string }) & { readonly id: string },
  Readonly<server.ClientFrame>
>;
