// Where credentials come from.

import type { Environment } from "./environment.js";

/** An access token, or a ticket, which opens one connection and cannot be renewed. */
export type Credential = string | { readonly ticket: string };

/**
 * Asked before every connection, and 30 s before a token ends. `"open"`: one that is good now. `"renew"`: the last
 * one has ended, ends soon or was refused, so a new one. `null` says that nobody is signed in: the client stops. An
 * error, or silence for 30 s, is a failure that passes: the client tries again.
 */
export type CredentialSource = (why: "open" | "renew") => Credential | null | Promise<Credential | null>;

const PATIENCE = 30_000;

/** One question at a time: whoever asks meanwhile gets its answer. */
export class Tokens {
  readonly #env: Environment;
  readonly #source: CredentialSource;
  #flight: Promise<Credential | null> | undefined;

  constructor(env: Environment, source: CredentialSource) {
    this.#env = env;
    this.#source = source;
  }

  get(why: "open" | "renew"): Promise<Credential | null> {
    if (this.#flight) return this.#flight;
    const flight = this.#ask(why).finally(() => {
      if (flight === this.#flight) this.forget();
    });
    return (this.#flight = flight);
  }

  /** Whoever asks from now on may be somebody else: what is under way is no answer for them. */
  forget(): void {
    this.#flight = undefined;
  }

  async #ask(why: "open" | "renew"): Promise<Credential | null> {
    let timer: unknown;
    const late = new Promise<never>((_, reject) => {
      timer = this.#env.setTimeout(() => reject(new Error(`no credential within ${PATIENCE} ms`)), PATIENCE);
    });
    try {
      // Whoever is not held by types may say nothing at all.
      return (await Promise.race([this.#source(why), late])) ?? null;
    } finally {
      this.#env.clearTimeout(timer);
    }
  }
}
