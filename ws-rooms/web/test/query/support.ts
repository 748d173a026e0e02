// Queries whose readings are answered by hand.

import assert from "node:assert/strict";

import { environmentManager, notifyManager, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createElement, type ReactElement } from "react";

import type { RoomEvent } from "../../src/index.js";
import { type RealTimeOptions, useRealTimeQuery } from "../../src/query/index.js";
import { happens, later, mount, opened, render, shown } from "../react/support.js";

environmentManager.setIsServer(() => false);
notifyManager.setScheduler(queueMicrotask);

export const PLACE = { room: "broadcast", epoch: "e", offset: 0 };

interface Reading {
  readonly resolve: (data: string) => void;
  readonly reject: (error: Error) => void;
}

interface Options extends Partial<RealTimeOptions<string>> {
  readonly name?: string;
  readonly staleTime?: number;
  readonly enabled?: boolean;
  /** Read by the cache's own function. */
  readonly byDefault?: boolean;
}

/** A client on a scripted server, and a cache. */
export class Page {
  readonly queries = new QueryClient({ defaultOptions: { queries: { retry: false, gcTime: Infinity } } });
  /** Readings that nobody has answered, in order. */
  readonly readings: Reading[] = [];
  /** How many there were. */
  reads = 0;
  #root: Awaited<ReturnType<typeof mount>> | undefined;
  readonly world: Awaited<ReturnType<typeof opened>>["world"];
  readonly client: Awaited<ReturnType<typeof opened>>["client"];

  constructor({ world, client }: Awaited<ReturnType<typeof opened>>) {
    this.world = world;
    this.client = client;
  }

  static async open(rooms: object[] = [PLACE]): Promise<Page> {
    return new Page(await opened({}, rooms));
  }

  get peer() {
    return this.world.peer;
  }

  /** Shows these queries, and nothing else but `last`. */
  async show(queries: Options[], strict = false, last?: ReactElement): Promise<void> {
    const all: ReactElement[] = queries.map((options, key) => createElement(Shown, { key, page: this, options }));
    if (last) all.push(last);
    const page = createElement(QueryClientProvider, { client: this.queries, children: all });
    if (this.#root) await render(this.#root, this.client, page, strict);
    else this.#root = await mount(this.client, page, strict);
  }

  read(): Promise<string> {
    this.reads += 1;
    return new Promise((resolve, reject) => this.readings.push({ resolve, reject }));
  }

  /** Answers the oldest reading. */
  async answer(data: string | Error): Promise<void> {
    const reading = this.readings.shift();
    assert.ok(reading, "nothing is being read");
    await happens(() => (typeof data === "string" ? reading.resolve(data) : reading.reject(data)));
  }

  receive(...frames: object[]): Promise<void> {
    return happens(() => frames.forEach((frame) => this.peer.receive(frame as Record<string, unknown>)));
  }

  /** Answers the room's `subscribe`. */
  async subscribed(fields: object = {}): Promise<void> {
    const { id, room, type } = this.peer.next();
    assert.equal(type, "subscribe");
    await this.receive({ type: "subscribed", id, room, epoch: "e", offset: 0, events: [], ...fields });
  }

  /** The connection breaks, and there is another one. */
  async reconnect(rooms: object[]): Promise<void> {
    await happens(() => this.peer.end(1006));
    const { state } = this.client;
    await later(this, state.phase === "waiting" ? state.delayMs : 0);
    await happens(() => this.peer.welcome(rooms));
  }

  later(ms: number): Promise<void> {
    return later(this, ms);
  }

  get text(): string {
    return shown(this.#root!);
  }
}

function Shown({ page, options }: { page: Page; options: Options }): ReactElement {
  const { name = "balance", rooms = ["broadcast"], byDefault, ...rest } = options;
  const read = byDefault ? {} : { queryFn: () => page.read() };
  const { data, error } = useRealTimeQuery({ queryKey: [name], ...read, rooms, ...rest });
  return createElement("p", null, error ? `${error.message}!` : (data ?? "…"), " ");
}

/** Puts ids behind each other: whatever is applied twice is seen. */
export const append = (data: string, event: RoomEvent): string => `${data} ${event.id}`;
