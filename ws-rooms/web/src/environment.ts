// What the client takes from its surroundings. Tests bring their own.

/** As much of a `WebSocket` as is used. */
export interface Socket {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number }) => void) | null;
  onerror: ((event: never) => void) | null;
  readonly bufferedAmount: number;
  send(text: string): void;
  close(code?: number): void;
}

/** Clock, chance, timers and network. */
export interface Environment {
  /** Milliseconds of a clock that goes on while the machine sleeps. */
  now(): number;
  /** From 0 up to 1. */
  random(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  socket(url: string, protocols: string[]): Socket;
  fetch(
    url: string,
    init: { headers: Record<string, string>; cache: "no-store"; signal: AbortSignal },
  ): Promise<{ readonly status: number; readonly headers: { get(name: string): string | null } }>;
  /** What a relative URL is relative to. */
  readonly base: string | undefined;
  /** Calls `wake` when the page may have slept or changed its network; returns how to stop that. */
  onWake(wake: () => void): () => void;
  /** Takes an error of the application's own listener. */
  report(error: unknown): void;
}

/** The browser's; also a server's that has `WebSocket` and `fetch`. Nothing is touched before it is called. */
export function browser(): Environment {
  return {
    // Not `performance.now`, which some systems stop while they sleep.
    now: Date.now,
    random: Math.random,
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer as number),
    socket: (url, protocols) => new WebSocket(url, protocols) as Socket,
    fetch: (url, init) => fetch(url, init),
    base: globalThis.location?.href,
    onWake(wake) {
      const stop = new AbortController();
      const on = (target: EventTarget | undefined, ...types: string[]) => {
        for (const type of types) target?.addEventListener?.(type, awake, { signal: stop.signal });
      };
      const awake = () => {
        if (globalThis.document?.visibilityState !== "hidden") wake();
      };
      on(globalThis.window, "online", "offline", "pageshow");
      // `resume`: the page was frozen, https://wicg.github.io/page-lifecycle/.
      on(globalThis.document, "visibilitychange", "resume");
      return () => stop.abort();
    },
    report: (error) => {
      if (typeof reportError === "function") reportError(error);
      else console.error(error);
    },
  };
}
