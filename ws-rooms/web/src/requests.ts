// Questions to the server, kept while there is no connection.

import type { Environment } from "./environment.js";
import { RoomsError } from "./errors.js";
import type { ErrorFrame, Presence, Present } from "./frames.js";

/** How long and how a request may wait. */
export interface RequestOptions {
  /** Milliseconds until it fails with `TIMEOUT`, whether it was sent or not. 30,000. */
  readonly timeoutMs?: number;
  /** Gives it up. */
  readonly signal?: AbortSignal;
}

/** What a client may ask. It only reads, so what was not answered is asked again on the next connection. */
export interface Question {
  readonly type: "presence";
  readonly room: string;
}

/** Longer than a reconnect usually takes, shorter than a person waits. */
const TIMEOUT = 30_000;
/** Questions that wait, of all askers; beyond it a new one fails with `QUEUE_FULL`. */
const MOST = 100;

interface Waiting {
  readonly question: Question;
  sent: boolean;
  readonly askers: Set<Asker>;
}

interface Asker {
  readonly resolve: (present: Present) => void;
  readonly reject: (error: unknown) => void;
}

/** In the order of asking; one that is asked again before it was sent is sent once. */
export class Requests {
  readonly #env: Environment;
  readonly #waiting = new Set<Waiting>();
  #askers = 0;

  constructor(env: Environment) {
    this.#env = env;
  }

  ask(question: Question, { timeoutMs = TIMEOUT, signal }: RequestOptions): Promise<Present> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#askers >= MOST) {
      return Promise.reject(new RoomsError("QUEUE_FULL", `${MOST} requests are waiting already`, true));
    }
    let waiting = [...this.#waiting].find((other) => !other.sent && other.question.room === question.room);
    if (!waiting) this.#waiting.add((waiting = { question, sent: false, askers: new Set() }));
    const { askers } = waiting;
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#env.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        askers.delete(asker);
        this.#askers -= 1;
        // Nobody waits for it any more.
        if (askers.size === 0) this.#waiting.delete(waiting);
      };
      const asker: Asker = {
        resolve: (present) => (end(), resolve(present)),
        reject: (error) => (end(), reject(error)),
      };
      const late = () => asker.reject(new RoomsError("TIMEOUT", `no answer within ${timeoutMs} ms`, true));
      const abort = () => asker.reject(signal?.reason);
      const timer = this.#env.setTimeout(late, timeoutMs);
      signal?.addEventListener("abort", abort);
      askers.add(asker);
      this.#askers += 1;
    });
  }

  /** What is to be sent next, and what takes its answer. */
  next(): { question: Question; answered: (frame: Presence | ErrorFrame) => void } | undefined {
    for (const waiting of this.#waiting) {
      if (waiting.sent) continue;
      waiting.sent = true;
      return { question: waiting.question, answered: (frame) => this.#answered(waiting, frame) };
    }
    return undefined;
  }

  /** The connection is gone: what was not answered is asked again, in the same order. */
  lost(): void {
    for (const waiting of this.#waiting) waiting.sent = false;
  }

  /** Fails whatever waits. */
  clear(error: RoomsError): void {
    for (const waiting of [...this.#waiting]) for (const asker of [...waiting.askers]) asker.reject(error);
  }

  #answered({ askers }: Waiting, frame: Presence | ErrorFrame): void {
    for (const asker of [...askers]) {
      if (frame.type === "presence") asker.resolve({ members: frame.members, total: frame.total ?? frame.members.length });
      else asker.reject(new RoomsError(frame.code, frame.message, frame.retry));
    }
  }
}
