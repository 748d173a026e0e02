// @tramline/ws-rooms, bundled. Written by `npm run page` in ws-rooms/web: do not edit.

// dist/environment.js
function browser() {
  return {
    // Not `performance.now`, which some systems stop while they sleep.
    now: Date.now,
    random: Math.random,
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    socket: (url, protocols) => new WebSocket(url, protocols),
    fetch: (url, init) => fetch(url, init),
    base: globalThis.location?.href,
    onWake(wake) {
      const stop = new AbortController();
      const on = (target, ...types) => {
        for (const type of types)
          target?.addEventListener?.(type, awake, { signal: stop.signal });
      };
      const awake = () => {
        if (globalThis.document?.visibilityState !== "hidden")
          wake();
      };
      on(globalThis.window, "online", "offline", "pageshow");
      on(globalThis.document, "visibilitychange", "resume");
      return () => stop.abort();
    },
    report: (error) => {
      if (typeof reportError === "function")
        reportError(error);
      else
        console.error(error);
    }
  };
}

// dist/errors.js
var RoomsError = class extends Error {
  name = "RoomsError";
  code;
  /** Whether the same may succeed later. */
  retry;
  constructor(code, message, retry) {
    super(message);
    this.code = code;
    this.retry = retry;
  }
};

// dist/backoff.js
var LEAST = 500;
var FIRST = 1e3;
var MOST = 2e4;
var STABLE = 6e4;
var LONGEST = 3e5;
function advice(code) {
  if (code >= 4e3 && code < 4100 || [1e3, 1002, 1003, 1007, 1009].includes(code))
    return "stay away";
  return code >= 4200 && code < 4300 ? "reconnect" : "back off";
}
var Backoff = class {
  #random;
  #attempt = 0;
  constructor(random) {
    this.#random = random;
  }
  /** Failures since the last connection that lived. */
  get attempt() {
    return this.#attempt;
  }
  /** Somebody asked for a connection: nothing has failed yet. */
  reset() {
    this.#attempt = 0;
  }
  /**
   * The wait in milliseconds after a connection that was open for `openMs` (missing: never) ended with `code`, or
   * `undefined` to stay away. The server's own wish counts, but never makes a second failure quicker.
   */
  next(code, openMs = 0, retryAfterMs) {
    const what = advice(code);
    if (what === "stay away")
      return void 0;
    if (openMs >= STABLE)
      this.#attempt = 0;
    const again = this.#attempt > 0;
    const ceiling = Math.min(MOST, FIRST * 2 ** Math.min(this.#attempt, 10));
    this.#attempt += 1;
    const drawn = this.#random();
    const soon = what === "reconnect" && !again;
    const delay = Math.round(soon ? drawn * FIRST : LEAST + drawn * (ceiling - LEAST));
    if (retryAfterMs === void 0)
      return delay;
    return Math.max(again ? delay : 0, Math.min(retryAfterMs, LONGEST));
  }
};

// dist/recent.js
var IDS = 256;
var WHOLE = 32;
var Recent = class {
  #rooms = /* @__PURE__ */ new Map();
  #whole = /* @__PURE__ */ new Map();
  /** An event came; nobody has heard it yet, or somebody has: the rooms where. */
  keep(event) {
    let rooms = this.#rooms.get(event.id);
    if (!rooms) {
      put(this.#rooms, event.id, rooms = /* @__PURE__ */ new Set(), IDS);
      put(this.#whole, event.id, event, WHOLE);
    }
    return rooms;
  }
  /** An event is to be heard in a room: whether it is new to that room, and new at all. */
  event(room, event) {
    if (typeof event.id !== "string")
      return { here: true, anywhere: true };
    const rooms = this.keep(event);
    const news = { here: !rooms.has(room), anywhere: !rooms.size };
    rooms.add(room);
    return news;
  }
  /** It is told to be in another room too: the event, `"heard"` there already, or `undefined` when it is not known. */
  position(room, id) {
    return this.#rooms.get(id)?.has(room) ? "heard" : this.#whole.get(id);
  }
};
function put(map, id, value, most) {
  map.set(id, value);
  if (map.size > most)
    for (const oldest of map.keys())
      return void map.delete(oldest);
}

// dist/updates.js
var WAITING = 512;
function hand(listener, update) {
  if (typeof listener === "function")
    listener(update);
  else
    listener[update.kind]?.call(listener, update);
}
var Updates = class {
  #waiting = [];
  #takers = [];
  #done = false;
  #stop;
  /** `start` is given the listener and returns how to stop. */
  constructor(start) {
    this.#stop = start((update) => this.#put(update));
  }
  /** The next update; waits for it. */
  next() {
    const value = this.#waiting.shift();
    if (value)
      return Promise.resolve({ value, done: false });
    if (this.#done)
      return Promise.resolve({ value: void 0, done: true });
    return new Promise((taker) => this.#takers.push(taker));
  }
  /** Ends the subscription. */
  return() {
    this.#waiting.length = 0;
    this.#end();
    this.#stop();
    return this.next();
  }
  [Symbol.asyncIterator]() {
    return this;
  }
  #put(update) {
    if (this.#done)
      return;
    const taker = this.#takers.shift();
    if (taker)
      taker({ value: update, done: false });
    else {
      this.#waiting.push(update);
      if (this.#waiting.length > WAITING) {
        this.#waiting.splice(0, 2, { kind: "gap", room: update.room, reason: "behind" });
      }
    }
    if (update.kind === "ended")
      this.#end();
  }
  #end() {
    this.#done = true;
    for (const taker of this.#takers)
      taker({ value: void 0, done: true });
    this.#takers = [];
  }
};

// dist/book.js
var Book = class {
  #rooms = /* @__PURE__ */ new Map();
  #all = /* @__PURE__ */ new Set();
  #recent = new Recent();
  #report;
  constructor(report) {
    this.#report = report;
  }
  place(name) {
    return this.#rooms.get(name)?.place;
  }
  // === What the application wants ===
  /** Listens to every room that one is in, wanted or given. */
  all(listener) {
    const all = this.#all.add(listener);
    return () => all.delete(listener);
  }
  /** Wants a room. What is returned listens no longer; whether nobody does. The room itself stays until `leave`. */
  want(name, listener) {
    const room = this.#room(name, "due");
    room.listeners.add(listener);
    if (room.stage === "out")
      room.stage = "due";
    if (room.stage === "leaving")
      room.stage = "in";
    if (room.stage === "in" && room.place)
      this.#tell(listener, { kind: "live", room: name, place: room.place });
    return () => room.listeners.delete(listener) && room.listeners.size === 0;
  }
  /** Leaves a room that nobody wants any more. */
  leave(name) {
    const room = this.#rooms.get(name);
    if (!room || room.listeners.size > 0 || room.given)
      return;
    if (room.stage === "in")
      room.stage = "leaving";
    else if (room.stage !== "asked")
      this.#rooms.delete(name);
  }
  // === What the connection does ===
  /** What is to be sent next, if anything. The caller sends it. */
  next() {
    for (const room of this.#rooms.values()) {
      if (room.stage === "leaving") {
        room.stage = "out";
        return { type: "unsubscribe", room: room.name };
      }
      if (room.stage === "due") {
        room.stage = "asked";
        room.since = room.place !== void 0;
        return { type: "subscribe", room: room.name, ...room.place && { since: room.place } };
      }
    }
    return void 0;
  }
  /** Whether each room has been answered, if only with «not now». */
  settled() {
    for (const { stage, refusals } of this.#rooms.values()) {
      if ((stage === "due" || stage === "asked") && !refusals)
        return false;
    }
    return true;
  }
  /** The connection is gone; places stay. */
  lost() {
    for (const room of this.#rooms.values()) {
      room.stage = room.listeners.size > 0 ? "due" : "out";
      room.refusals = 0;
      if (room.stage === "out" && !room.given)
        this.#rooms.delete(room.name);
    }
  }
  /** The rooms of a `welcome`: these, and no others. */
  welcome(places) {
    const names = new Set(places.map(({ room }) => room));
    for (const room of this.#rooms.values()) {
      if (names.has(room.name))
        continue;
      room.given = false;
      if (room.listeners.size === 0)
        this.#rooms.delete(room.name);
    }
    this.given(places);
  }
  /** Rooms that the server put us into, or has put us into already: their places now. */
  given(places) {
    for (const { room: name, epoch, offset } of places) {
      const room = this.#room(name, "out");
      room.given = true;
      if (room.stage === "asked")
        continue;
      const behind = room.place && (room.place.epoch !== epoch || room.place.offset !== offset);
      if (behind && this.#heard(room)) {
        room.stage = "due";
        continue;
      }
      room.place = { epoch, offset };
      if (room.stage !== "in")
        this.#live(room);
      if (this.#gone(room))
        return;
    }
  }
  // === What comes ===
  subscribed(frame) {
    const room = this.#rooms.get(frame.room);
    if (room?.stage !== "asked")
      return;
    let reason;
    if (room.since && !frame.recovered)
      reason = frame.reason ?? "trimmed";
    for (const { offset, event } of frame.events) {
      if (room.place && offset <= room.place.offset)
        continue;
      if (room.place && offset !== room.place.offset + 1)
        reason ??= "hole";
      room.place = { epoch: frame.epoch, offset };
      this.#event(room, offset, event);
      if (this.#gone(room))
        return;
    }
    if (frame.recovered && room.place?.offset !== frame.offset)
      reason ??= "hole";
    room.place = { epoch: frame.epoch, offset: frame.offset };
    if (reason)
      this.#gap(room, reason);
    this.#live(room);
    this.leave(frame.room);
  }
  /** Left by our own wish. */
  unsubscribed(name) {
    const room = this.#rooms.get(name);
    if (room?.stage === "out")
      this.#rooms.delete(name);
  }
  /** The room cannot be joined, or was taken away. */
  refused(name, code, message) {
    const room = this.#rooms.get(name);
    if (!room)
      return;
    this.#rooms.delete(name);
    this.#hear(room, { kind: "ended", room: name, code, message });
  }
  /** «Not now», to joining or leaving. What is returned makes it due again; the time is the caller's affair. */
  postponed(name, what) {
    const room = this.#rooms.get(name);
    if (what !== "subscribe" || room?.stage !== "asked")
      return () => room?.stage === "out" && (room.stage = "leaving");
    room.stage = "later";
    const refusals = room.refusals += 1;
    this.leave(name);
    return () => room.stage === "later" && room.refusals === refusals && (room.stage = "due");
  }
  event({ room: name, offset, event }) {
    const room = this.#advance(name, offset);
    if (room)
      this.#event(room, offset, event);
    else
      this.#recent.keep(event);
  }
  position({ room: name, offset, id }) {
    const room = this.#advance(name, offset);
    if (!room)
      return;
    const event = this.#recent.position(name, id);
    if (event === "heard")
      return;
    if (event)
      this.#event(room, offset, event);
    else
      this.#gap(room, "elsewhere");
  }
  gap({ room: name, epoch, offset, reason }) {
    const room = this.#rooms.get(name);
    if (!room)
      return;
    if (room.stage === "in")
      room.place = { epoch, offset };
    this.#gap(room, reason);
  }
  people(kind, name, userId) {
    const room = this.#rooms.get(name);
    if (room)
      this.#hear(room, { kind, room: name, userId });
  }
  /** The end: tells everyone, and forgets everything. */
  clear(code, message) {
    const rooms = [...this.#rooms.values()];
    const all = this.#all;
    this.#rooms.clear();
    this.#all = /* @__PURE__ */ new Set();
    this.#recent = new Recent();
    for (const room of rooms)
      this.#hear(room, { kind: "ended", room: room.name, code, message }, false);
    for (const listener of all)
      this.#tell(listener, { kind: "ended", room: "*", code, message });
  }
  #room(name, stage) {
    let room = this.#rooms.get(name);
    if (!room) {
      room = { name, listeners: /* @__PURE__ */ new Set(), stage, place: void 0, given: false, since: false, refusals: 0 };
      this.#rooms.set(name, room);
    }
    return room;
  }
  /** Moves a live room's place to the next number; the room if the number is new. */
  #advance(name, offset) {
    const room = this.#rooms.get(name);
    if (room?.stage !== "in" || !room.place || offset <= room.place.offset)
      return void 0;
    if (offset !== room.place.offset + 1 && this.#heard(room)) {
      room.stage = "due";
      return void 0;
    }
    room.place = { epoch: room.place.epoch, offset };
    return room;
  }
  #heard(room) {
    return room.listeners.size > 0 || this.#all.size > 0;
  }
  #live(room) {
    room.stage = "in";
    this.#hear(room, { kind: "live", room: room.name, place: room.place });
  }
  #gap(room, reason) {
    this.#hear(room, { kind: "gap", room: room.name, reason });
  }
  #event(room, offset, event) {
    const { here, anywhere } = this.#recent.event(room.name, event);
    if (here)
      this.#hear(room, { kind: "event", room: room.name, offset, event }, anywhere);
  }
  /** Ended, perhaps by a listener that is being called. */
  #gone(room) {
    return this.#rooms.get(room.name) !== room;
  }
  #hear(room, update, byAll = true) {
    for (const listener of [...room.listeners, ...byAll ? this.#all : []]) {
      if (update.kind !== "ended" && this.#gone(room))
        return;
      if (room.listeners.has(listener) || this.#all.has(listener))
        this.#tell(listener, update);
    }
  }
  #tell(listener, update) {
    try {
      hand(listener, update);
    } catch (error) {
      this.#report(error);
    }
  }
};

// dist/frames.js
var PLACE = { room: "string", epoch: "string", offset: "number" };
var PERSON = { room: "string", userId: "string" };
var SHAPES = {
  welcome: {
    connectionId: "string",
    userId: "string",
    rooms: [PLACE],
    heartbeatSeconds: "number",
    expiresAt: "string",
    limits: "object"
  },
  event: { room: "string", offset: "number", event: "object" },
  position: { room: "string", offset: "number", id: "string" },
  gap: { ...PLACE, reason: "string" },
  subscribed: { ...PLACE, events: [{ offset: "number", event: "object" }] },
  unsubscribed: { room: "string" },
  presence: { room: "string", members: [{ userId: "string", connections: "number" }] },
  authenticated: { expiresAt: "string" },
  error: { code: "string", message: "string", retry: "boolean" },
  goodbye: { code: "number", reason: "string" },
  joined: PERSON,
  left: PERSON,
  ping: {},
  pong: {}
};
function parse(text) {
  const frame = JSON.parse(text);
  if (!fits({ type: "string" }, frame))
    throw new TypeError("not a frame");
  const type = frame.type;
  if (!Object.hasOwn(SHAPES, type))
    return void 0;
  if (!fits(SHAPES[type], frame))
    throw new TypeError("not a frame");
  return frame;
}
function fits(shape, value) {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return false;
  return Object.entries(shape).every(([field, kind]) => {
    const found = value[field];
    if (Array.isArray(kind))
      return Array.isArray(found) && found.every((item) => fits(kind[0], item));
    if (kind === "object")
      return fits({}, found);
    return typeof found === kind && (kind !== "number" || Number.isSafeInteger(found) && found >= 0);
  });
}

// dist/pace.js
var SHARE = 0.8;
var Pace = class {
  #perSecond;
  #now;
  #left;
  #at;
  constructor(serverLimit, now) {
    this.#perSecond = Math.max(1, Math.floor(serverLimit * SHARE));
    this.#now = now;
    this.#left = this.#perSecond;
    this.#at = now();
  }
  /** Milliseconds until the next message's turn. */
  wait() {
    const now = this.#now();
    const earned = Math.max(0, now - this.#at) / 1e3 * this.#perSecond;
    this.#left = Math.min(this.#perSecond, this.#left + earned);
    this.#at = now;
    return this.#left >= 1 ? 0 : Math.ceil((1 - this.#left) / this.#perSecond * 1e3);
  }
  /** Takes a turn. */
  take() {
    this.#left -= 1;
  }
};

// dist/silence.js
var SLACK = 1e4;
var PROBE = 5e3;
var SLEPT = 5e3;
var Silence = class {
  #env;
  #limit;
  #probe;
  #dead;
  #timer;
  #probing = false;
  constructor(env, heartbeatSeconds, probe, dead) {
    this.#env = env;
    this.#limit = heartbeatSeconds * 1e3 + SLACK;
    this.#probe = probe;
    this.#dead = dead;
  }
  /** Something came. */
  heard() {
    this.stop();
    const due = this.#env.now() + this.#limit;
    this.#timer = this.#env.setTimeout(() => {
      if (this.#env.now() > due + SLEPT)
        this.probe();
      else
        this.#dead();
    }, this.#limit);
  }
  /** Asks for a sign of life. */
  probe() {
    if (this.#probing)
      return;
    this.stop();
    this.#probing = true;
    this.#timer = this.#env.setTimeout(this.#dead, PROBE);
    this.#probe();
  }
  stop() {
    this.#env.clearTimeout(this.#timer);
    this.#probing = false;
  }
};

// dist/link.js
var OPENING = 1e4;
var WINDOW = 8;
var ANSWER = 6e4;
var BUFFERED = 262144;
var LOOK = 100;
var BROKEN = 1006;
var Link = class {
  #env;
  #on;
  #socket;
  #asked = /* @__PURE__ */ new Map();
  #ids = 0;
  #opening;
  #welcomedAt;
  #silence;
  #pace;
  #over = false;
  /** Throws what `WebSocket` throws for a URL or a token that cannot be sent. */
  constructor(env, url, protocols, on) {
    this.#env = env;
    this.#on = on;
    this.#socket = env.socket(url, protocols);
    this.#socket.onmessage = ({ data }) => this.#message(data);
    this.#socket.onclose = ({ code }) => this.#end(code);
    this.#socket.onerror = () => this.#end(BROKEN);
    this.#opening = env.setTimeout(() => this.#end(BROKEN), OPENING);
  }
  /** Milliseconds until one more request may be sent; `undefined`: when an answer has come. */
  wait() {
    if (this.#asked.size >= WINDOW)
      return void 0;
    return this.#socket.bufferedAmount > BUFFERED ? LOOK : this.#pace?.wait() ?? 0;
  }
  /** Sends a request in its turn, as `wait` told. */
  ask(request, answered) {
    this.#pace?.take();
    this.askNow(request, answered);
  }
  /** Sends a request that must not wait: they are few, and the pace leaves room for them. */
  askNow(request, answered) {
    const id = String(this.#ids += 1);
    const timer = this.#env.setTimeout(() => this.#end(BROKEN), ANSWER);
    this.#asked.set(id, { timer, answered });
    this.#socket.send(JSON.stringify({ ...request, id }));
  }
  /** Wants a sign of life. */
  probe() {
    this.#silence?.probe();
  }
  /** Ends it without telling the owner. */
  close() {
    this.#detach();
    this.#socket.close(1e3);
  }
  #message(data) {
    this.#silence?.heard();
    let frame;
    try {
      frame = parse(data);
    } catch {
      return this.#end(BROKEN);
    }
    if (!frame)
      return;
    if (frame.type === "goodbye")
      return this.#end(frame.code, frame.retryAfterMs);
    if (frame.type === "welcome")
      return this.#welcome(frame);
    if (this.#welcomedAt === void 0)
      return;
    const id = "id" in frame && frame.type !== "position" ? String(frame.id) : "";
    const asked = this.#asked.get(id);
    if (!asked)
      return this.#on.frame(frame);
    this.#asked.delete(id);
    this.#env.clearTimeout(asked.timer);
    asked.answered(frame);
  }
  #welcome(frame) {
    if (this.#welcomedAt !== void 0)
      return;
    this.#env.clearTimeout(this.#opening);
    this.#welcomedAt = this.#env.now();
    this.#pace = new Pace(frame.limits.messagesPerSecond ?? 20, () => this.#env.now());
    const probe = () => this.askNow({ type: "ping" }, () => {
    });
    this.#silence = new Silence(this.#env, frame.heartbeatSeconds, probe, () => this.#end(BROKEN));
    this.#silence.heard();
    this.#on.welcome(frame);
  }
  #end(code, retryAfterMs) {
    if (this.#over)
      return;
    const openMs = this.#welcomedAt === void 0 ? void 0 : this.#env.now() - this.#welcomedAt;
    this.#detach();
    this.#socket.close();
    this.#on.ended(code, openMs, retryAfterMs);
  }
  #detach() {
    this.#over = true;
    this.#socket.onmessage = this.#socket.onclose = this.#socket.onerror = null;
    this.#env.clearTimeout(this.#opening);
    for (const { timer } of this.#asked.values())
      this.#env.clearTimeout(timer);
    this.#silence?.stop();
  }
};

// dist/opening.js
var PATIENCE = 1e4;
function judge(status, retryAfter, renewed, drawn) {
  if (status === 401)
    return renewed ? { does: "stop", reason: "unauthenticated" } : { does: "renew" };
  if (status === 403)
    return { does: "stop", reason: "forbidden" };
  if ((status === 429 || status === 503) && retryAfter !== null && /^\d+$/.test(retryAfter)) {
    return { does: "wait", retryAfterMs: Math.round((Number(retryAfter) + drawn) * 1e3) };
  }
  return { does: "wait" };
}
async function askWhy(env, url, token, renewed) {
  const abort = new AbortController();
  const timer = env.setTimeout(() => abort.abort(), PATIENCE);
  try {
    const { status, headers } = await env.fetch(url, {
      headers: { authorization: `Bearer ${token}` },
      cache: "no-store",
      signal: abort.signal
    });
    return judge(status, headers.get("retry-after"), renewed, env.random());
  } catch {
    return { does: "wait" };
  } finally {
    env.clearTimeout(timer);
  }
}

// dist/requests.js
var TIMEOUT = 3e4;
var MOST2 = 100;
var Requests = class {
  #env;
  #waiting = /* @__PURE__ */ new Set();
  #askers = 0;
  constructor(env) {
    this.#env = env;
  }
  ask(question, { timeoutMs = TIMEOUT, signal }) {
    if (signal?.aborted)
      return Promise.reject(signal.reason);
    if (this.#askers >= MOST2) {
      return Promise.reject(new RoomsError("QUEUE_FULL", `${MOST2} requests are waiting already`, true));
    }
    let waiting = [...this.#waiting].find((other) => !other.sent && other.question.room === question.room);
    if (!waiting)
      this.#waiting.add(waiting = { question, sent: false, askers: /* @__PURE__ */ new Set() });
    const { askers } = waiting;
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#env.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        askers.delete(asker);
        this.#askers -= 1;
        if (askers.size === 0)
          this.#waiting.delete(waiting);
      };
      const asker = {
        resolve: (present) => (end(), resolve(present)),
        reject: (error) => (end(), reject(error))
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
  next() {
    for (const waiting of this.#waiting) {
      if (waiting.sent)
        continue;
      waiting.sent = true;
      return { question: waiting.question, answered: (frame) => this.#answered(waiting, frame) };
    }
    return void 0;
  }
  /** The connection is gone: what was not answered is asked again, in the same order. */
  lost() {
    for (const waiting of this.#waiting)
      waiting.sent = false;
  }
  /** Fails whatever waits. */
  clear(error) {
    for (const waiting of [...this.#waiting])
      for (const asker of [...waiting.askers])
        asker.reject(error);
  }
  #answered({ askers }, frame) {
    for (const asker of [...askers]) {
      if (frame.type === "presence")
        asker.resolve({ members: frame.members, total: frame.total ?? frame.members.length });
      else
        asker.reject(new RoomsError(frame.code, frame.message, frame.retry));
    }
  }
};

// dist/state.js
function stopReason(code) {
  switch (code) {
    case 4001:
      return "unauthenticated";
    case 4003:
      return "forbidden";
    case 4009:
      return "revoked";
    case 1002:
    case 1003:
    case 1007:
    case 1009:
    case 4004:
      return "protocol";
    default:
      return "refused";
  }
}

// dist/tokens.js
var PATIENCE2 = 3e4;
var Tokens = class {
  #env;
  #source;
  #flight;
  constructor(env, source) {
    this.#env = env;
    this.#source = source;
  }
  get(why) {
    if (this.#flight)
      return this.#flight;
    const flight = this.#ask(why).finally(() => {
      if (flight === this.#flight)
        this.forget();
    });
    return this.#flight = flight;
  }
  /** Whoever asks from now on may be somebody else: what is under way is no answer for them. */
  forget() {
    this.#flight = void 0;
  }
  async #ask(why) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = this.#env.setTimeout(() => reject(new Error(`no credential within ${PATIENCE2} ms`)), PATIENCE2);
    });
    try {
      return await Promise.race([this.#source(why), late]) ?? null;
    } finally {
      this.#env.clearTimeout(timer);
    }
  }
};

// dist/rooms.js
var NAME = /^(?=.{1,128}$)[\w.-]+(:[\w.-]+)*$/;
var LINGER = 1e3;
var LATER = 2e3;
var SPREAD = 1e3;
var SUBPROTOCOL = "tramline.v1";
var Rooms = class {
  #options;
  #env;
  #report;
  #tokens;
  #backoff;
  #book;
  #requests;
  #watchers = /* @__PURE__ */ new Set();
  #state = { phase: "idle" };
  #link;
  /** The connection's credential. */
  #credential;
  /** The connection that is being renewed, or was with the token it had: then nothing but its end helps. */
  #renewing;
  /** Counts openings and stops: what awaited something looks whether it still matters. */
  #turn = 0;
  #timer;
  #pumping;
  /** The wait is the server's wish, or was shortened already: nothing shortens it. */
  #obliged = false;
  #stopWake;
  /** The timers of rooms that nobody listens to any more. */
  #lingering = /* @__PURE__ */ new Map();
  /** Does nothing yet: `open` does. */
  constructor(options) {
    this.#options = options;
    const env = this.#env = options.environment ?? browser();
    this.#report = options.onError ?? ((error) => env.report(error));
    this.#tokens = new Tokens(env, options.credential);
    this.#backoff = new Backoff(() => env.random());
    this.#book = new Book(this.#report);
    this.#requests = new Requests(env);
  }
  /** Where the client is. */
  get state() {
    return this.#state;
  }
  /** Calls `watcher` at each change of `state`, the newest only; returns how to stop that. */
  watch(watcher) {
    const own = (state) => watcher(state);
    this.#watchers.add(own);
    return () => void this.#watchers.delete(own);
  }
  /** Connects, and stays connected until `close`. Does nothing when it is at it already. */
  open() {
    const { phase } = this.#state;
    if (phase !== "idle" && phase !== "stopped")
      return this;
    this.#stopWake = this.#env.onWake(() => this.#wake());
    this.#backoff.reset();
    void this.#connect("open");
    return this;
  }
  /** Disconnects and forgets: subscriptions end, requests fail with `CLOSED`, places are gone. For signing out. */
  close() {
    this.#stop("closed");
  }
  /**
   * Listens to a room; returns how to stop that. A room that the server has not put you into is asked for, once for
   * all its listeners, and left a second after the last one. Of a room that is live already the listener hears so
   * before `on` returns.
   *
   * Throws a `TypeError` for what is no room's name.
   */
  on(room, listener) {
    named(room);
    const own = (update) => hand(listener, update);
    this.#env.clearTimeout(this.#lingering.get(room));
    const unwant = this.#book.want(room, own);
    this.#pump();
    return () => {
      if (!unwant())
        return;
      const leave = () => {
        this.#lingering.delete(room);
        this.#book.leave(room);
        this.#pump();
      };
      this.#lingering.set(room, this.#env.setTimeout(leave, LINGER));
    };
  }
  /** The same, for `for await`. Updates are kept from now on; leaving the loop ends it. */
  subscribe(room) {
    return new Updates((listener) => this.on(room, listener));
  }
  /**
   * Listens to every room that one is in, those that the server chose included; each event comes once, whatever
   * number of rooms it is in. Returns how to stop that.
   */
  onAny(listener) {
    return this.#book.all((update) => hand(listener, update));
  }
  /** Where one stands in a room, if one is or was in it. */
  place(room) {
    return this.#book.place(room);
  }
  /**
   * Asks who is in a room, of which one must be a member. While there is no connection the question waits.
   *
   * Rejects with a `RoomsError`, or with the signal's reason.
   */
  presence(room, options = {}) {
    named(room);
    const present = this.#requests.ask({ type: "presence", room }, options);
    this.#pump();
    return present;
  }
  // === Coming and going ===
  async #connect(why) {
    const turn = this.#turn += 1;
    this.#set({ phase: "opening", attempt: this.#backoff.attempt });
    if (turn !== this.#turn)
      return;
    let credential;
    try {
      credential = await this.#tokens.get(why);
    } catch (cause) {
      if (turn === this.#turn)
        this.#wait(BROKEN, void 0, void 0, cause);
      return;
    }
    if (turn !== this.#turn)
      return;
    if (credential === null)
      return this.#stop("signed_out");
    try {
      const url = new URL(this.#options.url ?? "/ws", this.#env.base);
      url.protocol = url.protocol.replace("http", "ws");
      const asked = url.href.replace("ws", "http");
      const protocols = [SUBPROTOCOL];
      if (typeof credential === "string")
        protocols.push(`bearer.${credential}`);
      else
        url.searchParams.set("ticket", credential.ticket);
      this.#credential = credential;
      this.#link = new Link(this.#env, url.href, protocols, {
        welcome: ({ userId, connectionId, rooms }) => {
          this.#set({ phase: "recovering", userId, connectionId });
          if (turn === this.#turn)
            this.#book.welcome(rooms);
          this.#pump();
        },
        frame: (frame) => this.#frame(frame),
        ended: (code, openMs, retryAfterMs) => {
          this.#link = void 0;
          this.#book.lost();
          this.#requests.lost();
          if (openMs !== void 0 || code >= 4e3 || typeof credential !== "string")
            this.#wait(code, openMs, retryAfterMs);
          else
            void this.#askWhy(turn, asked, credential, why === "renew");
        }
      });
    } catch (cause) {
      this.#report(cause);
      this.#stop("protocol");
    }
  }
  async #askWhy(turn, url, token, renewed) {
    const verdict = await askWhy(this.#env, url, token, renewed);
    if (turn !== this.#turn)
      return;
    if (verdict.does === "renew")
      void this.#connect("renew");
    else if (verdict.does === "stop")
      this.#stop(verdict.reason);
    else
      this.#wait(BROKEN, void 0, verdict.retryAfterMs);
  }
  #wait(code, openMs, retryAfterMs, cause) {
    const attempt = this.#backoff.attempt;
    const delayMs = this.#backoff.next(code, openMs, retryAfterMs);
    if (delayMs === void 0)
      return this.#stop(stopReason(code), code);
    this.#obliged = retryAfterMs !== void 0;
    this.#comeBack(delayMs, code);
    this.#set({ phase: "waiting", attempt, delayMs, code, ...cause !== void 0 && { cause } });
  }
  #comeBack(delayMs, code) {
    this.#env.clearTimeout(this.#timer);
    this.#timer = this.#env.setTimeout(() => void this.#connect(code === 4201 ? "renew" : "open"), delayMs);
  }
  #wake() {
    this.#link?.probe();
    if (this.#state.phase === "waiting" && !this.#obliged && this.#state.delayMs > SPREAD) {
      this.#obliged = true;
      this.#comeBack(this.#env.random() * SPREAD, this.#state.code);
    }
  }
  #stop(reason, code) {
    this.#turn += 1;
    this.#tokens.forget();
    this.#link?.close();
    this.#link = void 0;
    this.#env.clearTimeout(this.#timer);
    this.#env.clearTimeout(this.#pumping);
    this.#stopWake?.();
    this.#stopWake = void 0;
    const state = this.#state = { phase: "stopped", reason, ...code !== void 0 && { code } };
    const error = new RoomsError("CLOSED", `the client has stopped: ${reason}`, false);
    this.#requests.clear(error);
    this.#book.clear(error.code, error.message);
    this.#tell(state);
  }
  // === At work ===
  /** Sends what is due, as fast as the server allows: rooms first, then questions. */
  #pump() {
    for (; ; ) {
      const link = this.#link;
      const { phase } = this.#state;
      if (!link || phase !== "recovering" && phase !== "open")
        return;
      if (phase === "recovering" && this.#book.settled()) {
        this.#set({ ...this.#state, phase: "open" });
        continue;
      }
      const wait = link.wait();
      if (wait === void 0)
        return;
      if (wait > 0) {
        this.#env.clearTimeout(this.#pumping);
        this.#pumping = this.#env.setTimeout(() => this.#pump(), wait);
        return;
      }
      const request = this.#book.next();
      if (request) {
        link.ask(request, (frame) => {
          if (frame.type === "subscribed")
            this.#book.subscribed(frame);
          else if (frame.type === "unsubscribed")
            this.#book.unsubscribed(request.room);
          else if (frame.retry) {
            const again = this.#book.postponed(request.room, request.type);
            this.#later(link, () => {
              again();
              this.#pump();
            });
          } else if (request.type === "subscribe")
            this.#book.refused(request.room, frame.code, frame.message);
          this.#pump();
        });
        continue;
      }
      const next = phase === "open" ? this.#requests.next() : void 0;
      if (!next)
        return;
      link.ask(next.question, (frame) => {
        next.answered(frame);
        this.#pump();
      });
    }
  }
  #frame(frame) {
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
        if (frame.expiresAt !== void 0 && this.#link !== this.#renewing)
          void this.#renew(this.#renewing = this.#link);
        return;
      default:
        return;
    }
    this.#pump();
  }
  /** Renews the connection in place. Whatever fails for good ends it; else the token's end does, and 4201 follows. */
  async #renew(link) {
    let token;
    try {
      token = await this.#tokens.get("renew");
    } catch {
      return this.#later(link, () => void this.#renew(link));
    }
    if (link !== this.#link)
      return;
    if (token === null)
      return this.#stop("signed_out");
    if (typeof token === "string" && token !== this.#credential)
      this.#authenticate(link, this.#credential = token);
  }
  #authenticate(link, token) {
    link.askNow({ type: "auth", token }, (frame) => {
      if (frame.type === "authenticated") {
        this.#renewing = void 0;
        this.#book.given(frame.rooms ?? []);
        this.#pump();
      } else if (frame.retry) {
        this.#later(link, () => this.#authenticate(link, token));
      } else if (frame.code === "TOKEN_EXPIRED") {
        this.#later(link, () => void this.#renew(link));
      } else {
        const reasons = { TOKEN_REVOKED: "revoked", FORBIDDEN: "forbidden" };
        this.#stop(reasons[frame.code] ?? "unauthenticated");
      }
    });
  }
  /** Once more, if the connection still lives. Only the timer says when: the clock may be set back. */
  #later(link, then) {
    this.#env.setTimeout(() => link === this.#link && then(), LATER * (0.5 + this.#env.random()));
  }
  #set(state) {
    this.#state = state;
    this.#tell(state);
  }
  #tell(state) {
    for (const watcher of [...this.#watchers]) {
      if (state !== this.#state)
        return;
      try {
        watcher(state);
      } catch (error) {
        this.#report(error);
      }
    }
  }
};
function named(room) {
  if (!NAME.test(room))
    throw new TypeError(`not a room's name: ${room}`);
}
export {
  Rooms,
  RoomsError,
  browser
};
