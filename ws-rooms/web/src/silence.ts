// Whether the link is still alive.

import type { Environment } from "./environment.js";

/** Beyond the server's own rhythm, for a slow network. */
const SLACK = 10_000;
/** How long a probe waits for a sign of life. */
const PROBE = 5_000;
/** A timer that is later than this was not running: the page was frozen, or the machine slept. */
const SLEPT = 5_000;

/**
 * Takes a link that says nothing for dead.
 *
 * The timer is armed by whoever hears something, never by a timer: browsers let chains of timers in hidden pages run
 * once a minute only.
 */
export class Silence {
  readonly #env: Environment;
  readonly #limit: number;
  readonly #probe: () => void;
  readonly #dead: () => void;
  #timer: unknown;
  #probing = false;

  constructor(env: Environment, heartbeatSeconds: number, probe: () => void, dead: () => void) {
    this.#env = env;
    this.#limit = heartbeatSeconds * 1_000 + SLACK;
    this.#probe = probe;
    this.#dead = dead;
  }

  /** Something came. */
  heard(): void {
    this.stop();
    const due = this.#env.now() + this.#limit;
    this.#timer = this.#env.setTimeout(() => {
      // What came while we slept has not been read yet.
      if (this.#env.now() > due + SLEPT) this.probe();
      else this.#dead();
    }, this.#limit);
  }

  /** Asks for a sign of life. */
  probe(): void {
    if (this.#probing) return;
    this.stop();
    this.#probing = true;
    this.#timer = this.#env.setTimeout(this.#dead, PROBE);
    this.#probe();
  }

  stop(): void {
    this.#env.clearTimeout(this.#timer);
    this.#probing = false;
  }
}
