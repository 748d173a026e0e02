// A world for one client: a clock that stands until it is moved, a scripted server, drawn numbers that are known.

import assert from "node:assert/strict";

import type { Environment, Socket } from "../../src/environment.js";
import { type Credential, type RoomEvent, Rooms, type RoomsOptions, type State } from "../../src/index.js";

type Frame = Record<string, unknown>;

/** The server's end of one socket. */
export class Peer implements Socket {
  readonly url: string;
  readonly protocols: string[];
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onclose: ((event: { readonly code: number }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  bufferedAmount = 0;
  /** What the client has sent and nobody has looked at. */
  readonly inbox: Frame[] = [];
  /** The code with which the client closed it, if it did. */
  closed: number | "no code" | undefined;

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text: string): void {
    this.inbox.push(JSON.parse(text) as Frame);
  }

  close(code?: number): void {
    this.closed ??= code ?? "no code";
  }

  /** Server to client. */
  receive(frame: Frame | string): void {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  welcome(rooms: object[] = [], fields: Frame = {}): void {
    this.receive({
      type: "welcome",
      connectionId: "c1",
      userId: "ada",
      rooms,
      heartbeatSeconds: 25,
      expiresAt: "2026-11-26T15:15:00Z",
      limits: { frameBytes: 65_536, rooms: 100, messagesPerSecond: 20, queuedBytes: 262_144 },
      ...fields,
    });
  }

  /** The connection ends. */
  end(code: number): void {
    this.onclose?.({ code });
  }

  /** Takes the next frame that the client has sent. */
  next(): Frame {
    const frame = this.inbox.shift();
    assert.ok(frame, "the client has sent nothing");
    return frame;
  }
}

interface Timer {
  readonly due: number;
  readonly run: () => void;
}

export class World implements Environment {
  readonly base = "https://bank.example/app/";
  readonly peers: Peer[] = [];
  /** Asked by `fetch`. */
  readonly asked: { url: string; authorization: string | undefined }[] = [];
  /** What `fetch` answers; an error is a network that is away. */
  answer: { status: number; retryAfter?: string } | Error = new Error("no network");
  /** What was told of listeners' errors. */
  readonly reported: unknown[] = [];
  drawn = 0.5;
  refusesSockets = false;
  wake: (() => void) | undefined;
  /** Added to what the clock shows, not to when timers are due. */
  skew = 0;
  #now = 1_000_000;
  #timers = new Map<number, Timer>();
  #ids = 0;

  now(): number {
    return this.#now + this.skew;
  }

  random(): number {
    return this.drawn;
  }

  setTimeout(run: () => void, ms: number): number {
    assert.ok(Number.isFinite(ms) && ms >= 0, `a timer of ${ms} ms`);
    this.#timers.set((this.#ids += 1), { due: this.#now + ms, run });
    return this.#ids;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as number);
  }

  socket(url: string, protocols: string[]): Peer {
    if (this.refusesSockets) throw new SyntaxError("no such subprotocol");
    const peer = new Peer(url, protocols);
    this.peers.push(peer);
    return peer;
  }

  async fetch(url: string, init: { headers: Record<string, string> }) {
    this.asked.push({ url, authorization: init.headers["authorization"] });
    const answer = this.answer;
    if (answer instanceof Error) throw answer;
    return { status: answer.status, headers: { get: () => answer.retryAfter ?? null } };
  }

  onWake(wake: () => void): () => void {
    this.wake = wake;
    return () => (this.wake = undefined);
  }

  report(error: unknown): void {
    this.reported.push(error);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Moves the clock, and lets everything happen on the way, in order. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const next = [...this.#timers].filter(([, { due }]) => due <= end).sort(([, a], [, b]) => a.due - b.due)[0];
      if (!next) break;
      this.#timers.delete(next[0]);
      this.#now = Math.max(this.#now, next[1].due);
      next[1].run();
    }
    this.#now = end;
    await settled();
  }

  /** The machine sleeps: the clock moves, and no timer runs until it wakes. */
  sleep(ms: number): void {
    this.#now += ms;
  }

  /** The newest connection. */
  get peer(): Peer {
    const peer = this.peers.at(-1);
    assert.ok(peer, "nobody has connected");
    return peer;
  }

  client<Events extends object = Record<string, RoomEvent>>(
    options: Partial<RoomsOptions> = {},
  ): Rooms<Events> {
    return new Rooms<Events>({ credential: () => "token", environment: this, ...options });
  }
}

/** Lets promises that can go on do so; nothing here waits for IO or for time. */
export function settled(): Promise<void> {
  return new Promise((done) => setImmediate(done));
}

/** An open client and its server. */
export async function opened(options: Partial<RoomsOptions> = {}, rooms: object[] = []) {
  const world = new World();
  const client = world.client(options).open();
  await settled();
  world.peer.welcome(rooms);
  return { world, client, peer: world.peer };
}

/** Answers each question as it comes, and remembers them. */
export function credentials(...answers: (Credential | null | Error | Promise<Credential | null>)[]) {
  const whys: string[] = [];
  return {
    whys,
    credential: async (why: "open" | "renew") => {
      whys.push(why);
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer instanceof Error) throw answer;
      return answer ?? null;
    },
  };
}

export function event(room: string, offset: number, id = `${room}#${offset}`): Frame {
  return { type: "event", room, offset, event: { id, type: "t" } };
}

export function phase(state: State): string {
  return state.phase === "stopped" ? `stopped: ${state.reason}` : state.phase;
}
