// The client: opens, recovers, renews, comes back.

import { Backoff } from "./backoff.js";
import { Book } from "./book.js";
import { browser, type Environment } from "./environment.js";
import { RoomsError } from "./errors.js";
import type { Authenticated, Place, Presence, Present, RoomEvent, ServerFrame, Subscribed, Unsubscribed } from "./frames.js";
import { BROKEN, Link } from "./link.js";
import { askWhy } from "./opening.js";
import { type RequestOptions, Requests } from "./requests.js";
import { type State, type StopReason, stopReason } from "./state.js";
import { type Credential, type CredentialSource, Tokens } from "./tokens.js";
import { hand, type Listener, type Update, Updates } from "./updates.js";

/** How to reach the server. */
export interface RoomsOptions {
  /** Of `GET /ws`; relative to the page, `http` and `ws` alike. `/ws`. */
  readonly url?: string;
  /** Where credentials come from. */
  readonly credential: CredentialSource;
  /** Takes errors that your own listeners throw. `reportError`, where there is one. */
  readonly onError?: (error: unknown) => void;
  /** Clock, chance and network; for tests, and for platforms that are no browser. */
  readonly environment?: Environment;
}

/** A room's name: parts of `A-Za-z0-9._-` joined by colons, 128 bytes at most. */
const NAME = /^(?=.{1,128}$)[\w.-]+(:[\w.-]+)*$/;
/** How long a room stays after its last listener: a component that is mounted anew finds it as it was. */
const LINGER = 1_000;
/** When to ask again for what is not available, for renewals too; times 0.5 to 1.5, so that a herd spreads. */
const LATER = 2_000;
/** After waking, everybody on the same network comes back: within this. */
const SPREAD = 1_000;
const SUBPROTOCOL = "tramline.v1";

/**
 * A connection to the rooms that never loses its place.
 *
 * `Events` maps room names to their events, for instance
 * ``{ broadcast: News; [payment: `payment:${string}`]: PaymentEvent }``.
 */
export class Rooms<Events extends object = Record<string, RoomEvent>> {
  readonly #options: RoomsOptions;
  readonly #env: Environment;
  readonly #report: (error: unknown) => void;
  readonly #tokens: Tokens;
  readonly #backoff: Backoff;
  readonly #book: Book;
  readonly #requests: Requests;
  readonly #watchers = new Set<(state: State) => void>();
  #state: State = { phase: "idle" };
  #link: Link | undefined;
  /** The connection's credential. */
  #credential: Credential | undefined;
  /** The connection that is being renewed, or was with the token it had: then nothing but its end helps. */
  #renewing: Link | undefined;
  /** Counts openings and stops: what awaited something looks whether it still matters. */
  #turn = 0;
  #timer: unknown;
  #pumping: unknown;
  /** The wait is the server's wish, or was shortened already: nothing shortens it. */
  #obliged = false;
  #stopWake: (() => void) | undefined;
  /** The timers of rooms that nobody listens to any more. */
  readonly #lingering = new Map<string, unknown>();

  /** Does nothing yet: `open` does. */
  constructor(options: RoomsOptions) {
    this.#options = options;
    const env = (this.#env = options.environment ?? browser());
    // Called on its object: it may be a class's.
    this.#report = options.onError ?? ((error) => env.report(error));
    this.#tokens = new Tokens(env, options.credential);
    this.#backoff = new Backoff(() => env.random());
    this.#book = new Book(this.#report);
    this.#requests = new Requests(env);
  }

  /** Where the client is. */
  get state(): State {
    return this.#state;
  }

  /** Calls `watcher` at each change of `state`, the newest only; returns how to stop that. */
  watch(watcher: (state: State) => void): () => void {
    // A function of our own each time: the same one may be given twice.
    const own = (state: State) => watcher(state);
    this.#watchers.add(own);
    return () => void this.#watchers.delete(own);
  }

  /** Connects, and stays connected until `close`. Does nothing when it is at it already. */
  open(): this {
    const { phase } = this.#state;
    if (phase !== "idle" && phase !== "stopped") return this;
    this.#stopWake = this.#env.onWake(() => this.#wake());
    this.#backoff.reset();
    void this.#connect("open");
    return this;
  }

  /** Disconnects and forgets: subscriptions end, requests fail with `CLOSED`, places are gone. For signing out. */
  close(): void {
    this.#stop("closed");
  }

  /**
   * Listens to a room; returns how to stop that. A room that the server has not put you into is asked for, once for
   * all its listeners, and left a second after the last one. Of a room that is live already the listener hears so
   * before `on` returns.
   *
   * Throws a `TypeError` for what is no room's name.
   */
  on<Name extends keyof Events & string>(room: Name, listener: Listener<Events[Name]>): () => void {
    named(room);
    const own = (update: Update) => hand(listener as Listener<never>, update);
    this.#env.clearTimeout(this.#lingering.get(room));
    const unwant = this.#book.want(room, own);
    this.#pump();
    return () => {
      if (!unwant()) return;
      const leave = () => {
        this.#lingering.delete(room);
        this.#book.leave(room);
        this.#pump();
      };
      this.#lingering.set(room, this.#env.setTimeout(leave, LINGER));
    };
  }

  /** The same, for `for await`. Updates are kept from now on; leaving the loop ends it. */
  subscribe<Name extends keyof Events & string>(room: Name): Updates<Events[Name]> {
    return new Updates((listener) => this.on(room, listener));
  }

  /**
   * Listens to every room that one is in, those that the server chose included; each event comes once, whatever
   * number of rooms it is in. Returns how to stop that.
   */
  onAny(listener: Listener<Events[keyof Events]>): () => void {
    return this.#book.all((update: Update) => hand(listener as Listener<never>, update));
  }

  /** Where one stands in a room, if one is or was in it. */
  place(room: string): Place | undefined {
    return this.#book.place(room);
  }

  /**
   * Asks who is in a room, of which one must be a member. While there is no connection the question waits.
   *
   * Rejects with a `RoomsError`, or with the signal's reason.
   */
  presence(room: keyof Events & string, options: RequestOptions = {}): Promise<Present> {
    named(room);
    const present = this.#requests.ask({ type: "presence", room }, options);
    this.#pump();
    return present;
  }

  // === Coming and going ===

  async #connect(why: "open" | "renew"): Promise<void> {
    const turn = (this.#turn += 1);
    this.#set({ phase: "opening", attempt: this.#backoff.attempt });
    if (turn !== this.#turn) return;
    let credential: Credential | null;
    try {
      credential = await this.#tokens.get(why);
    } catch (cause) {
      if (turn === this.#turn) this.#wait(BROKEN, undefined, undefined, cause);
      return;
    }
    if (turn !== this.#turn) return;
    if (credential === null) return this.#stop("signed_out");
    try {
      const url = new URL(this.#options.url ?? "/ws", this.#env.base);
      url.protocol = url.protocol.replace("http", "ws");
      const asked = url.href.replace("ws", "http");
      const protocols = [SUBPROTOCOL];
      if (typeof credential === "string") protocols.push(`bearer.${credential}`);
      else url.searchParams.set("ticket", credential.ticket);
      this.#credential = credential;
      this.#link = new Link(this.#env, url.href, protocols, {
        welcome: ({ userId, connectionId, rooms }) => {
          this.#set({ phase: "recovering", userId, connectionId });
          if (turn === this.#turn) this.#book.welcome(rooms);
          this.#pump();
        },
        frame: (frame) => this.#frame(frame),
        ended: (code, openMs, retryAfterMs) => {
          this.#link = undefined;
          this.#book.lost();
          this.#requests.lost();
          // A ticket would be used up by asking.
          if (openMs !== undefined || code >= 4000 || typeof credential !== "string") this.#wait(code, openMs, retryAfterMs);
          else void this.#askWhy(turn, asked, credential, why === "renew");
        },
      });
    } catch (cause) {
      // Neither the URL nor the token will get better by trying again.
      this.#report(cause);
      this.#stop("protocol");
    }
  }

  async #askWhy(turn: number, url: string, token: string, renewed: boolean): Promise<void> {
    const verdict = await askWhy(this.#env, url, token, renewed);
    if (turn !== this.#turn) return;
    if (verdict.does === "renew") void this.#connect("renew");
    else if (verdict.does === "stop") this.#stop(verdict.reason);
    else this.#wait(BROKEN, undefined, verdict.retryAfterMs);
  }

  #wait(code: number, openMs?: number, retryAfterMs?: number, cause?: unknown): void {
    const attempt = this.#backoff.attempt;
    const delayMs = this.#backoff.next(code, openMs, retryAfterMs);
    if (delayMs === undefined) return this.#stop(stopReason(code), code);
    this.#obliged = retryAfterMs !== undefined;
    this.#comeBack(delayMs, code);
    this.#set({ phase: "waiting", attempt, delayMs, code, ...(cause !== undefined && { cause }) });
  }

  #comeBack(delayMs: number, code: number): void {
    this.#env.clearTimeout(this.#timer);
    // 4201: the token has ended.
    this.#timer = this.#env.setTimeout(() => void this.#connect(code === 4201 ? "renew" : "open"), delayMs);
  }

  #wake(): void {
    this.#link?.probe();
    if (this.#state.phase === "waiting" && !this.#obliged && this.#state.delayMs > SPREAD) {
      // Once: a network that flaps would draw for ever.
      this.#obliged = true;
      this.#comeBack(this.#env.random() * SPREAD, this.#state.code);
    }
  }

  #stop(reason: StopReason, code?: number): void {
    this.#turn += 1;
    this.#tokens.forget();
    this.#link?.close();
    this.#link = undefined;
    this.#env.clearTimeout(this.#timer);
    this.#env.clearTimeout(this.#pumping);
    this.#stopWake?.();
    this.#stopWake = undefined;
    const state = (this.#state = { phase: "stopped", reason, ...(code !== undefined && { code }) });
    const error = new RoomsError("CLOSED", `the client has stopped: ${reason}`, false);
    // ORDER: everything is forgotten before anybody is told, who may open anew at once.
    this.#requests.clear(error);
    this.#book.clear(error.code, error.message);
    this.#tell(state);
  }

  // === At work ===

  /** Sends what is due, as fast as the server allows: rooms first, then questions. */
  #pump(): void {
    for (;;) {
      const link = this.#link;
      const { phase } = this.#state;
      if (!link || (phase !== "recovering" && phase !== "open")) return;
      // ORDER: questions only once every room has been answered, since they are about rooms.
      if (phase === "recovering" && this.#book.settled()) {
        this.#set({ ...this.#state, phase: "open" } as State);
        continue;
      }
      const wait = link.wait();
      if (wait === undefined) return;
      if (wait > 0) {
        this.#env.clearTimeout(this.#pumping);
        this.#pumping = this.#env.setTimeout(() => this.#pump(), wait);
        return;
      }
      const request = this.#book.next();
      if (request) {
        link.ask<Subscribed | Unsubscribed>(request, (frame) => {
          if (frame.type === "subscribed") this.#book.subscribed(frame);
          else if (frame.type === "unsubscribed") this.#book.unsubscribed(request.room);
          else if (frame.retry) {
            const again = this.#book.postponed(request.room, request.type);
            this.#later(link, () => {
              again();
              this.#pump();
            });
          } else if (request.type === "subscribe") this.#book.refused(request.room, frame.code, frame.message);
          this.#pump();
        });
        continue;
      }
      const next = phase === "open" ? this.#requests.next() : undefined;
      if (!next) return;
      link.ask<Presence>(next.question, (frame) => {
        next.answered(frame);
        this.#pump();
      });
    }
  }

  #frame(frame: ServerFrame): void {
    switch (frame.type) {
      case "event":
        this.#book.event(frame);
        break;
      case "position":
        this.#book.position(frame);
        break;
      case "gap":
        this.#book.gap(frame);
        break;
      case "subscribed":
        this.#book.given([frame]);
        break;
      case "unsubscribed":
        this.#book.refused(frame.room, "FORBIDDEN", "this room is no longer open to you");
        break;
      case "joined":
      case "left":
        this.#book.people(frame.type, frame.room, frame.userId);
        break;
      case "ping":
        if (frame.expiresAt !== undefined && this.#link !== this.#renewing) void this.#renew((this.#renewing = this.#link!));
        return;
      default:
        return;
    }
    // A number that was missing is asked for.
    this.#pump();
  }

  /** Renews the connection in place. Whatever fails for good ends it; else the token's end does, and 4201 follows. */
  async #renew(link: Link): Promise<void> {
    let token: Credential | null;
    try {
      token = await this.#tokens.get("renew");
    } catch {
      return this.#later(link, () => void this.#renew(link));
    }
    if (link !== this.#link) return;
    if (token === null) return this.#stop("signed_out");
    // The same one would be good no longer than it is: 4201 asks for another.
    if (typeof token === "string" && token !== this.#credential) this.#authenticate(link, (this.#credential = token));
  }

  #authenticate(link: Link, token: string): void {
    link.askNow<Authenticated>({ type: "auth", token }, (frame) => {
      if (frame.type === "authenticated") {
        this.#renewing = undefined;
        this.#book.given(frame.rooms ?? []);
        this.#pump();
      } else if (frame.retry) {
        this.#later(link, () => this.#authenticate(link, token));
      } else if (frame.code === "TOKEN_EXPIRED") {
        this.#later(link, () => void this.#renew(link));
      } else {
        // Another user's token too: this connection must not go on in a name that is no longer right.
        const reasons: Record<string, StopReason> = { TOKEN_REVOKED: "revoked", FORBIDDEN: "forbidden" };
        this.#stop(reasons[frame.code] ?? "unauthenticated");
      }
    });
  }

  /** Once more, if the connection still lives. Only the timer says when: the clock may be set back. */
  #later(link: Link, then: () => void): void {
    this.#env.setTimeout(() => link === this.#link && then(), LATER * (0.5 + this.#env.random()));
  }

  #set(state: State): void {
    this.#state = state;
    this.#tell(state);
  }

  #tell(state: State): void {
    for (const watcher of [...this.#watchers]) {
      // Whoever was told before has changed it, and everybody knows.
      if (state !== this.#state) return;
      try {
        watcher(state);
      } catch (error) {
        this.#report(error);
      }
    }
  }
}

function named(room: string): void {
  if (!NAME.test(room)) throw new TypeError(`not a room's name: ${room}`);
}
