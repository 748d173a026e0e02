// What a close code asks of the client, and how long it waits.

/** What a close code asks of the client. */
export type Advice = "stay away" | "back off" | "reconnect";

/** Nobody comes back sooner: a server that refuses at once is not asked in a loop. */
const LEAST = 500;
/** The ceiling of the first wait. It doubles with each failure in a row … */
const FIRST = 1_000;
/** … up to this, which a person still waits for. */
const MOST = 20_000;
/** A connection that lived so long was a good one: the next failure is the first again. */
const STABLE = 60_000;
/** The longest wait a server may ask for: a wrong number must not send people away for a day. */
const LONGEST = 300_000;

/** What this code asks of the client. */
export function advice(code: number): Advice {
  if ((code >= 4000 && code < 4100) || [1000, 1002, 1003, 1007, 1009].includes(code)) return "stay away";
  return code >= 4200 && code < 4300 ? "reconnect" : "back off";
}

/** Counts failures in a row and draws the waits between them: full jitter, so that a herd spreads. */
export class Backoff {
  readonly #random: () => number;
  #attempt = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Failures since the last connection that lived. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Somebody asked for a connection: nothing has failed yet. */
  reset(): void {
    this.#attempt = 0;
  }

  /**
   * The wait in milliseconds after a connection that was open for `openMs` (missing: never) ended with `code`, or
   * `undefined` to stay away. The server's own wish counts, but never makes a second failure quicker.
   */
  next(code: number, openMs = 0, retryAfterMs?: number): number | undefined {
    const what = advice(code);
    if (what === "stay away") return undefined;
    if (openMs >= STABLE) this.#attempt = 0;
    const again = this.#attempt > 0;
    const ceiling = Math.min(MOST, FIRST * 2 ** Math.min(this.#attempt, 10));
    this.#attempt += 1;
    const drawn = this.#random();
    const soon = what === "reconnect" && !again;
    const delay = Math.round(soon ? drawn * FIRST : LEAST + drawn * (ceiling - LEAST));
    if (retryAfterMs === undefined) return delay;
    return Math.max(again ? delay : 0, Math.min(retryAfterMs, LONGEST));
  }
}
