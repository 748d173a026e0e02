// One socket, from its opening to its end.

import type { Environment, Socket } from "./environment.js";
import { type ErrorFrame, parse, type ServerFrame, type Welcome } from "./frames.js";
import { Pace } from "./pace.js";
import { Silence } from "./silence.js";

/** How long it may take from the first packet to the `welcome`. */
const OPENING = 10_000;
/** Unanswered requests at once: a quarter of what the server keeps, which works on one after another. */
const WINDOW = 8;
/** An answer that takes longer will not come; above `WINDOW` times a slow authority's 5 s. */
const ANSWER = 60_000;
/** Bytes that the socket has not sent yet, above which nothing is added. */
const BUFFERED = 262_144;
/** When to look again at those. */
const LOOK = 100;
/** The close code of a link that broke, RFC 6455, section 7.4.1; also of one that we gave up. */
export const BROKEN = 1006;

export interface LinkEvents {
  welcome(frame: Welcome): void;
  /** Every frame but the welcome, the goodbye and the answers. */
  frame(frame: ServerFrame): void;
  /** Once; nothing follows. `openMs` is missing when there was no welcome. */
  ended(code: number, openMs: number | undefined, retryAfterMs: number | undefined): void;
}

interface Asked {
  /** Runs out when the answer takes too long. */
  readonly timer: unknown;
  readonly answered: (frame: ServerFrame & { id?: string | number }) => void;
}

/** A connection. What it is used for is its owner's affair. */
export class Link {
  readonly #env: Environment;
  readonly #on: LinkEvents;
  readonly #socket: Socket;
  readonly #asked = new Map<string, Asked>();
  #ids = 0;
  #opening: unknown;
  #welcomedAt: number | undefined;
  #silence: Silence | undefined;
  #pace: Pace | undefined;
  #over = false;

  /** Throws what `WebSocket` throws for a URL or a token that cannot be sent. */
  constructor(env: Environment, url: string, protocols: string[], on: LinkEvents) {
    this.#env = env;
    this.#on = on;
    this.#socket = env.socket(url, protocols);
    this.#socket.onmessage = ({ data }) => this.#message(data);
    this.#socket.onclose = ({ code }) => this.#end(code);
    // Not every platform's `WebSocket` that cannot open says that it is closed too.
    this.#socket.onerror = () => this.#end(BROKEN);
    this.#opening = env.setTimeout(() => this.#end(BROKEN), OPENING);
  }

  /** Milliseconds until one more request may be sent; `undefined`: when an answer has come. */
  wait(): number | undefined {
    if (this.#asked.size >= WINDOW) return undefined;
    return this.#socket.bufferedAmount > BUFFERED ? LOOK : (this.#pace?.wait() ?? 0);
  }

  /** Sends a request in its turn, as `wait` told. */
  ask<Frame extends ServerFrame>(request: object, answered: (frame: Frame | ErrorFrame) => void): void {
    this.#pace?.take();
    this.askNow(request, answered);
  }

  /** Sends a request that must not wait: they are few, and the pace leaves room for them. */
  askNow<Frame extends ServerFrame>(request: object, answered: (frame: Frame | ErrorFrame) => void): void {
    const id = String((this.#ids += 1));
    // Only the timer says when: the clock may be set back.
    const timer = this.#env.setTimeout(() => this.#end(BROKEN), ANSWER);
    this.#asked.set(id, { timer, answered: answered as Asked["answered"] });
    this.#socket.send(JSON.stringify({ ...request, id }));
  }

  /** Wants a sign of life. */
  probe(): void {
    this.#silence?.probe();
  }

  /** Ends it without telling the owner. */
  close(): void {
    this.#detach();
    this.#socket.close(1000);
  }

  #message(data: unknown): void {
    // ORDER: first of all, so that a long listener does not make the link look dead.
    this.#silence?.heard();
    let frame: ServerFrame | undefined;
    try {
      // A binary frame's object is no JSON either.
      frame = parse(data as string);
    } catch {
      // What it told is lost; a new connection recovers it.
      return this.#end(BROKEN);
    }
    if (!frame) return;
    if (frame.type === "goodbye") return this.#end(frame.code, frame.retryAfterMs);
    if (frame.type === "welcome") return this.#welcome(frame);
    if (this.#welcomedAt === undefined) return;
    const id = "id" in frame && frame.type !== "position" ? String(frame.id) : "";
    const asked = this.#asked.get(id);
    if (!asked) return this.#on.frame(frame);
    this.#asked.delete(id);
    this.#env.clearTimeout(asked.timer);
    asked.answered(frame);
  }

  #welcome(frame: Welcome): void {
    if (this.#welcomedAt !== undefined) return;
    this.#env.clearTimeout(this.#opening);
    this.#welcomedAt = this.#env.now();
    this.#pace = new Pace(frame.limits.messagesPerSecond ?? 20, () => this.#env.now());
    const probe = () => this.askNow({ type: "ping" }, () => {});
    this.#silence = new Silence(this.#env, frame.heartbeatSeconds, probe, () => this.#end(BROKEN));
    this.#silence.heard();
    this.#on.welcome(frame);
  }

  #end(code: number, retryAfterMs?: number): void {
    if (this.#over) return;
    const openMs = this.#welcomedAt === undefined ? undefined : this.#env.now() - this.#welcomedAt;
    this.#detach();
    // A browser may take minutes to find a dead link closed; nobody waits for that.
    this.#socket.close();
    this.#on.ended(code, openMs, retryAfterMs);
  }

  #detach(): void {
    this.#over = true;
    this.#socket.onmessage = this.#socket.onclose = this.#socket.onerror = null;
    this.#env.clearTimeout(this.#opening);
    for (const { timer } of this.#asked.values()) this.#env.clearTimeout(timer);
    this.#silence?.stop();
  }
}
