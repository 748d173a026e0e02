// Why a socket did not open. A browser cannot read a refused upgrade, so the same `GET` is asked without one.

import type { Environment } from "./environment.js";

/** What to do after a failed opening. */
export type Verdict =
  | { readonly does: "renew" }
  | { readonly does: "stop"; readonly reason: "unauthenticated" | "forbidden" }
  | { readonly does: "wait"; readonly retryAfterMs?: number };

/** Longer than a healthy server takes, short enough that a dead one does not delay the next attempt much. */
const PATIENCE = 10_000;

/**
 * What an answer means. `renewed`: the token was new, so another would be refused too. `drawn`, from 0 to 1, spreads
 * over a second those whom the server gave the same whole number.
 */
export function judge(status: number | undefined, retryAfter: string | null, renewed: boolean, drawn: number): Verdict {
  if (status === 401) return renewed ? { does: "stop", reason: "unauthenticated" } : { does: "renew" };
  if (status === 403) return { does: "stop", reason: "forbidden" };
  // RFC 9110, section 10.2.3; a date would need the server's clock, and then backing off does as well.
  if ((status === 429 || status === 503) && retryAfter !== null && /^\d+$/.test(retryAfter)) {
    return { does: "wait", retryAfterMs: Math.round((Number(retryAfter) + drawn) * 1_000) };
  }
  // 426 too: nothing was wrong but the handshake, so something on the way does not let it through.
  return { does: "wait" };
}

/** Asks, and judges the answer. */
export async function askWhy(env: Environment, url: string, token: string, renewed: boolean): Promise<Verdict> {
  const abort = new AbortController();
  const timer = env.setTimeout(() => abort.abort(), PATIENCE);
  try {
    const { status, headers } = await env.fetch(url, {
      headers: { authorization: `Bearer ${token}` },
      cache: "no-store",
      signal: abort.signal,
    });
    return judge(status, headers.get("retry-after"), renewed, env.random());
  } catch {
    return { does: "wait" };
  } finally {
    env.clearTimeout(timer);
  }
}
