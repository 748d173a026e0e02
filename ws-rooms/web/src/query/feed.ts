// What rooms do to one query. Knows the client and the cache; the hook only says which rooms.

import type { QueryCacheNotifyEvent, QueryClient } from "@tanstack/react-query";

import type { RoomEvent, State, Update } from "../index.js";
import type { AnyRooms } from "../react/provider.js";
import { LINGER } from "../react/shared.js";
import { stay } from "../react/stay.js";

/** What one component wants of events. */
export interface Wish {
  readonly affects?: ((event: RoomEvent, room: string) => boolean) | undefined;
  readonly patch?: ((data: unknown, event: RoomEvent, room: string) => unknown) | undefined;
}

/** A component that is there, and its newest wish. */
export type User = () => Wish;

/** Events that come within this time cost one reading; short enough that nobody takes it for a delay. */
const TOGETHER = 300;
/**
 * How long a first reading waits for its rooms: longer than connecting and subscribing take on a good network. On
 * others it reads at once, and again when the room is live.
 */
const PATIENCE = 500;

interface Entry {
  readonly users: Set<User>;
  readonly stop: () => void;
  /** It is live on this connection, or not open to us. */
  settled: boolean;
}

/** A reading that is under way, by whomever's function. */
interface Flight {
  /** It has waited for its rooms, as much as it does. */
  begun: boolean;
  /** The rooms' offsets then: its result holds at least what came before. Another epoch comes with a gap. */
  places: Map<string, number>;
  /** Something has happened since that its result may lack. */
  stale: boolean;
  /** It is in one of our functions, and not only in the cache's hands. */
  ours: boolean;
  /** It took the place of one that was given up. */
  readonly replaced: boolean;
}

/** Keeps one query fresh, for all components that show it. */
export class Feed {
  readonly #client: QueryClient;
  readonly #rooms: AnyRooms;
  readonly #hash: string;
  readonly #entries = new Map<string, Entry>();
  readonly #stops: (() => void)[];
  readonly #ended: () => void;
  /** What the cached data surely holds: the events of a room up to this offset. */
  #held = new Map<string, number>();
  /** The cached data lacks something. */
  #stale = false;
  #flight: Flight | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Its time came while rooms were recovering. */
  #postponed = false;
  readonly #patient = new Set<() => void>();

  constructor(client: QueryClient, rooms: AnyRooms, hash: string, ended: () => void) {
    this.#client = client;
    this.#rooms = rooms;
    this.#hash = hash;
    this.#ended = ended;
    this.#stops = [
      client.getQueryCache().subscribe((event) => this.#cached(event)),
      rooms.watch((state) => this.#moved(state)),
    ];
  }

  /**
   * Listens to these rooms; what is returned ends it, a second later, as the client leaves rooms. `user` is another one
   * each time: who comes back within the second is not taken away with who they were.
   */
  add(names: readonly string[], user: User): () => void {
    try {
      for (const name of names) this.#entry(name).users.add(user);
    } catch (error) {
      // A name that is none: nothing of it stays.
      this.#remove(names, user);
      throw error;
    }
    this.#wakePatient();
    return () => void setTimeout(() => this.#remove(names, user), LINGER);
  }

  #entry(name: string): Entry {
    let entry = this.#entries.get(name);
    if (!entry) {
      const users = new Set<User>();
      // It may be live at once, and is heard of before it is there.
      let settled = false;
      const stop = stay(this.#rooms, name, (update) => {
        const own = this.#entries.get(name);
        if (update.kind === "live" || update.kind === "ended") own ? (own.settled = true) : (settled = true);
        this.#heard(name, users, update);
      });
      this.#entries.set(name, (entry = { users, stop, settled }));
    }
    return entry;
  }

  /** Reads, once the rooms are live if that does not take long. */
  async read<Data>(read: () => Data): Promise<Awaited<Data>> {
    const before = this.#flight;
    // The cache has told of it already, or it takes the place of another.
    const flight = before && !before.ours ? before : this.#takeOff(before !== undefined);
    flight.ours = true;
    flight.begun = flight.stale = false;
    if (this.#worthWaiting()) await this.#patience();
    this.#begin(flight);
    return await read();
  }

  #takeOff(replaced: boolean): Flight {
    const flight: Flight = { begun: false, places: new Map(), stale: false, ours: false, replaced };
    this.#begin(flight);
    return (this.#flight = flight);
  }

  /** What is read from now on holds what its rooms have had until now. */
  #begin(flight: Flight): void {
    flight.begun = true;
    for (const room of this.#entries.keys()) {
      const place = this.#rooms.place(room);
      if (place) flight.places.set(room, place.offset);
    }
  }

  // === What rooms say ===

  #heard(room: string, users: ReadonlySet<User>, update: Update): void {
    const flight = this.#flight;
    switch (update.kind) {
      case "live":
        this.#wakePatient();
        // Read before the room had a place: what came in between is in neither. Or the last reading has failed: what it
        // was to bring is brought by nobody else.
        if (!(flight ? flight.places : this.#held).has(room) || (this.#stale && !flight)) this.#lacks();
        break;
      case "event":
        this.#event(room, [...users].map((user) => user()), update.offset, update.event);
        break;
      case "gap":
        // Also if the next reading fails: in another epoch the numbers begin anew.
        this.#forget(room);
        this.#lacks();
        break;
      case "ended":
        this.#forget(room);
        this.#wakePatient();
        break;
      default:
    }
  }

  #event(room: string, wishes: readonly Wish[], offset: number, event: RoomEvent): void {
    const known = this.#flight ? this.#flight.places : this.#held;
    const from = known.get(room);
    // The data is newer than the event.
    if (from !== undefined && offset <= from) return;
    const next = from !== undefined && offset === from + 1;
    const reached = () => next && known.set(room, offset);
    let done = false;
    try {
      // All that show it decide together: what one of them is to see changes the data of all.
      const concerned = wishes.filter(({ affects }) => !affects || affects(event, room));
      // Once, though several would; the newest knows best.
      const patch = concerned.flatMap((wish) => wish.patch ?? []).at(-1);
      const query = this.#client.getQueryCache().get(this.#hash);
      const data = query?.state.data;
      if (concerned.length === 0) {
        done = true;
        reached();
      } else if (next && patch && data !== undefined && !this.#flight && !this.#stale) {
        const patched = patch(data, event, room);
        if (patched === undefined) return;
        done = true;
        // Not by its key, which a hash of the application's own may give another meaning.
        query!.setData(patched, { manual: true });
        // ORDER: then, since the cache has told of it, and not of whose data it is.
        this.#held = known;
        reached();
      }
    } finally {
      // What throws has not done it either.
      if (!done) this.#lacks();
    }
  }

  /** Something has happened that the data lacks: read it anew, soon. */
  #lacks(): void {
    if (this.#flight?.begun) this.#flight.stale = true;
    this.#stale = true;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#refresh();
    }, TOGETHER);
  }

  #refresh(): void {
    // While rooms recover, one after another, each may have a gap: one reading for all of them.
    this.#postponed = this.#rooms.state.phase === "recovering";
    if (!this.#stale || this.#postponed) return;
    const flight = this.#flight;
    // It began after what is lacking. Or it has replaced another: if each were given up, a busy room would never show
    // anything. Its end decides.
    if (flight && (!flight.stale || flight.replaced)) return;
    const query = this.#client.getQueryCache().get(this.#hash);
    const promise = query?.promise;
    // Leaves `cancelRefetch` as it is: a result that is stale already is not waited for. But for the first: that one
    // TanStack Query gives up for nobody, and its end decides too.
    void this.#client.invalidateQueries({ predicate: ({ queryHash }) => queryHash === this.#hash });
    // Nobody tells of one in somebody else's function that took the place of another.
    if (flight && flight === this.#flight && !flight.ours && query?.promise !== promise) this.#takeOff(true);
  }

  // === What else happens ===

  #cached(event: QueryCacheNotifyEvent): void {
    if (event.query.queryHash !== this.#hash || event.type !== "updated") return;
    const { action } = event;
    if (action.type === "fetch") {
      // It is read, by our function or by somebody else's.
      if (!this.#flight) this.#takeOff(false);
    } else if (action.type === "success" && !action.manual) {
      const flight = this.#flight;
      this.#flight = undefined;
      // One that had begun before this was here has not told where the rooms stood.
      this.#held = flight?.places ?? new Map();
      this.#stale = false;
      const uncovered = [...this.#entries].some(([room, { settled }]) => settled && !this.#held.has(room) && this.#rooms.place(room));
      if (flight?.stale || uncovered) this.#lacks();
    } else if (action.type === "success") {
      // Somebody's own data, perhaps from before an event: the next one has it read.
      this.#held = new Map();
    } else if (event.query.state.fetchStatus === "idle") {
      // Failed, or given up by somebody: it is left to whatever reads next.
      this.#flight = undefined;
    }
  }

  #moved({ phase }: State): void {
    if (phase === "waiting" || phase === "opening") for (const entry of this.#entries.values()) entry.settled = false;
    if (!this.#worthWaiting()) this.#wakePatient();
    if (this.#postponed && phase !== "recovering") this.#refresh();
  }

  #remove(names: readonly string[], user: User): void {
    for (const name of names) {
      const entry = this.#entries.get(name);
      if (!entry?.users.delete(user) || entry.users.size > 0) continue;
      this.#entries.delete(name);
      this.#forget(name);
      entry.stop();
    }
    if (this.#entries.size > 0) return;
    clearTimeout(this.#timer);
    for (const stop of this.#stops) stop();
    this.#wakePatient();
    this.#ended();
  }

  /** What is held, and what is being read, is of a room that was: nothing says what comes before it is one again. */
  #forget(room: string): void {
    this.#held.delete(room);
    this.#flight?.places.delete(room);
  }

  // === Waiting for rooms ===

  /** Whether rooms will be live soon. */
  #worthWaiting(): boolean {
    const { state } = this.#rooms;
    // Somebody who comes back has waited enough.
    const soon = state.phase === "open" || state.phase === "recovering" || (state.phase === "opening" && state.attempt === 0);
    return soon && [...this.#entries.values()].some(({ settled }) => !settled);
  }

  #patience(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#patient.delete(done);
        resolve();
      };
      const timer = setTimeout(done, PATIENCE);
      this.#patient.add(done);
    });
  }

  #wakePatient(): void {
    if (this.#worthWaiting()) return;
    for (const done of [...this.#patient]) done();
  }
}

const feeds = new WeakMap<QueryClient, WeakMap<AnyRooms, Map<string, Feed>>>();

/** The feed of a query, if a component shows it. */
export function feedOf(client: QueryClient, rooms: AnyRooms, hash: string): Feed | undefined {
  return feeds.get(client)?.get(rooms)?.get(hash);
}

/** The feed of a query, made if there is none. */
export function feedFor(client: QueryClient, rooms: AnyRooms, hash: string): Feed {
  let ofClient = feeds.get(client);
  if (!ofClient) feeds.set(client, (ofClient = new WeakMap()));
  let ofRooms = ofClient.get(rooms);
  if (!ofRooms) ofClient.set(rooms, (ofRooms = new Map()));
  const all = ofRooms;
  let feed = all.get(hash);
  if (!feed) all.set(hash, (feed = new Feed(client, rooms, hash, () => all.delete(hash))));
  return feed;
}
