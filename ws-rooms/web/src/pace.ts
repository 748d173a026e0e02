// How many messages leave in a second.

/** A part of what the server allows: what does not wait for its turn (renewals, probes) needs room too. */
const SHARE = 0.8;

/** A bucket that holds one second's messages. */
export class Pace {
  readonly #perSecond: number;
  readonly #now: () => number;
  #left: number;
  #at: number;

  constructor(serverLimit: number, now: () => number) {
    this.#perSecond = Math.max(1, Math.floor(serverLimit * SHARE));
    this.#now = now;
    this.#left = this.#perSecond;
    this.#at = now();
  }

  /** Milliseconds until the next message's turn. */
  wait(): number {
    const now = this.#now();
    // A clock that was set back earns nothing.
    const earned = (Math.max(0, now - this.#at) / 1_000) * this.#perSecond;
    this.#left = Math.min(this.#perSecond, this.#left + earned);
    this.#at = now;
    return this.#left >= 1 ? 0 : Math.ceil(((1 - this.#left) / this.#perSecond) * 1_000);
  }

  /** Takes a turn. */
  take(): void {
    this.#left -= 1;
  }
}
