// The built-in page: sign in, pay, watch, and cut the link. `rooms.js` is `@tramline/ws-rooms` in one file.

import { browser, Rooms } from "/assets/rooms.js";

const DEMO_PASSWORD = "TestPassword123!";
const FEED_LENGTH = 60;
const SAMPLES = 60;
const LOG_LENGTH = 4;
/** A token that ends within this is renewed before it is used. */
const MARGIN = 30_000;
const $ = (id) => document.getElementById(id);
const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const hex = (bytes) => [...crypto.getRandomValues(new Uint8Array(bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");

// === Theme ===

const theme = $("theme");
const applyTheme = (name) => {
  document.documentElement.dataset.theme = name;
  theme.setAttribute("aria-pressed", String(name === "dark"));
};
applyTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
theme.addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  applyTheme(next);
});

// === HTTP ===

class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `the server answered ${status}`);
    this.status = status;
    this.code = body.code;
    this.errors = body.errors ?? [];
  }
  get text() {
    return this.errors.length ? this.errors.map((e) => `${e.pointer.replace(/^[/?]/, "")}: ${e.detail}`).join("; ") : this.message;
  }
}

/** Longer than the server takes to answer or to refuse. */
const PATIENCE = 30_000;

async function call(path, { method = "GET", body, token, headers = {} } = {}) {
  const response = await fetch(path, {
    method,
    headers: {
      accept: "application/json",
      traceparent: `00-${hex(16)}-${hex(8)}-01`,
      ...(body ? { "content-type": "application/json" } : {}),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...headers,
    },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE),
  });
  const text = await response.text();
  let json = {};
  try { json = text ? JSON.parse(text) : {}; } catch { /* a body that is no JSON is told by its status */ }
  if (!response.ok) throw new Problem(response.status, json);
  return json;
}

// === A link that can be cut ===

/** What waits on a cut link until it is mended; beyond it the connection is gone. */
const HELD = 1_000;

/** The browser's surroundings, behind a link that a button cuts: nothing comes through, and nobody says so. */
class Cuttable {
  cut = false;
  #wake = () => {};
  #mended = new Set();

  get environment() {
    const real = browser();
    return {
      ...real,
      socket: (url, protocols) => this.#socket(url, protocols),
      fetch: (url, init) => (this.cut ? Promise.reject(new TypeError("the link is cut")) : real.fetch(url, init)),
      onWake: (wake) => {
        this.#wake = wake;
        return real.onWake(wake);
      },
    };
  }

  /** As a cable that is pulled or put back: the browser hears `offline` or `online`, and then looks for itself. */
  toggle() {
    this.cut = !this.cut;
    if (!this.cut) for (const mended of [...this.#mended]) mended();
    this.#wake();
  }

  #socket(url, protocols) {
    const socket = { onmessage: null, onclose: null, onerror: null, bufferedAmount: 0, send() {}, close() {} };
    if (this.cut) {
      setTimeout(() => socket.onclose?.({ code: 1006 }));
      return socket;
    }
    const real = new WebSocket(url, protocols);
    let held = [];
    // As TCP does: what was sent meanwhile arrives when the link is back, if somebody still wants it.
    const through = (what) => (this.cut ? held.push(what) <= HELD || (held = [() => real.close()]) : what());
    const mended = () => {
      const waiting = held;
      held = [];
      for (const what of waiting) what();
      if (real.readyState > WebSocket.OPEN) this.#mended.delete(mended);
    };
    this.#mended.add(mended);
    for (const kind of ["onmessage", "onclose", "onerror"]) real[kind] = (event) => through(() => socket[kind]?.(event));
    real.addEventListener("close", () => this.cut || this.#mended.delete(mended));
    socket.send = (text) => through(() => real.send(text));
    socket.close = (code) => through(() => real.close(code));
    return socket;
  }
}

// === A person: a session, its token kept fresh, its rooms ===

class Person {
  constructor({ transport, environment, onState, onEnd }) {
    Object.assign(this, { transport, onEnd });
    this.rooms = new Rooms({ credential: (why) => this.credential(why), ...(environment && { environment }) });
    this.rooms.watch((state) => {
      onState?.(state);
      if (state.phase === "stopped") this.end(state.reason === "revoked" ? "This session was ended." : `The link was closed for good: ${state.reason}.`);
    });
  }

  async signIn(email, password) {
    const device = { id: deviceId(this.transport), name: navigator.platform || "browser", kind: "browser" };
    this.take(await call("/api/auth/login", { method: "POST", body: { email, password, device, transport: this.transport } }));
  }

  take(grant) {
    this.token = grant.accessToken;
    this.refreshToken = grant.refreshToken;
    this.until = Date.now() + grant.expiresIn * 1_000;
    if (grant.user) this.user = grant.user;
    return this.token;
  }

  /** A new token; asked for once, however many want one. */
  renew() {
    const body = { device: { id: deviceId(this.transport) }, ...(this.refreshToken ? { refreshToken: this.refreshToken } : {}) };
    this.renewing ??= call("/api/auth/refresh", { method: "POST", body })
      .then((grant) => this.take(grant))
      .finally(() => (this.renewing = undefined));
    return this.renewing;
  }

  async credential(why) {
    try {
      return why === "renew" || this.until - Date.now() < MARGIN ? await this.renew() : this.token;
    } catch (problem) {
      // Only the server's word ends the sign-in; a network that is away for a moment does not.
      if (!isRefusal(problem)) throw problem;
      this.end(problem.message);
      return null;
    }
  }

  async call(path, options) {
    return call(path, { ...options, token: (await this.credential("open")) ?? undefined });
  }

  async signOut() {
    const { token } = this;
    this.end();
    const logout = (token) => call("/api/auth/logout", { method: "POST", token });
    // A token that has ended signs nobody out any more; the cookie alone does.
    await logout(token).catch((problem) => problem.status === 401 && logout()).catch(() => {});
  }

  end(reason) {
    if (this.ended) return;
    this.ended = true;
    this.rooms.close();
    this.onEnd?.(reason);
  }
}

const isRefusal = (problem) => problem.status === 401 || problem.status === 403;

function deviceId(kind) {
  const key = `device-${kind}`;
  let id = localStorage.getItem(key);
  if (!id) localStorage.setItem(key, (id = hex(12)));
  return id;
}

// === Who you are ===

let me;
let observer;
/** Somebody is being signed in, which the page says; one at a time. */
let pending = false;
/** The last one's sign-out: the next one's cookie must not come before it is done. */
let left = Promise.resolve();
const link = new Cuttable();

async function alone(what) {
  if (pending) return;
  pending = true;
  try {
    await what();
  } finally {
    pending = false;
  }
}

function newMe() {
  const person = new Person({
    transport: "cookie",
    environment: link.environment,
    onState: (state) => me === person && showState(state, person),
    onEnd: (reason) => {
      // Who never came to be here has nothing to take along.
      if (me !== person) return;
      localStorage.removeItem("signed-in");
      me = undefined;
      forgetRooms();
      showMe();
      if (reason) say("who-say", reason, true);
    },
  });
  let loaded = false;
  person.rooms.onAny({
    live: ({ room }) => {
      // Those of payments are ours: one that is left may be live once more, and is not to come back.
      if (!room.startsWith("payment:")) watchRoom(person, room);
      if (!room.startsWith("user:") || loaded) return;
      // From now on events tell what becomes of them.
      loaded = true;
      loadPayments(person);
    },
    event: ({ event, room }) => onEvent(event, room, rows.get(room)?.live === false),
  });
  return person;
}

const signIn = (email, password) => alone(async () => {
  say("who-say", "Signing in …");
  try {
    await left;
    const person = newMe();
    await person.signIn(email, password);
    begin(person);
  } catch (problem) {
    say("who-say", problem.text ?? problem.message, true);
  }
});

const resume = () => alone(async () => {
  if (!localStorage.getItem("signed-in")) return;
  say("who-say", "Signing in again …");
  const person = newMe();
  try {
    await person.renew();
    person.user = await person.call("/api/auth/me");
    begin(person);
  } catch (problem) {
    if (!isRefusal(problem)) return say("who-say", "The server does not answer; reload to try again.", true);
    localStorage.removeItem("signed-in");
    say("who-say", "");
  }
});

function begin(person) {
  me?.end();
  me = person;
  localStorage.setItem("signed-in", "1");
  say("who-say", "");
  names.set(me.user.id, me.user.name);
  me.rooms.open();
  showMe();
  if (me.user.role === "ADMIN") watchRoom(me, "system:live");
}

function showMe() {
  // Whoever stood on what is hidden now stands beside it, not at the top of the page.
  const within = (id) => $(id).contains(document.activeElement);
  const [wasOut, wasIn, wasWatch] = [within("signed-out"), within("signed-in"), within("watch")];
  $("signed-out").hidden = Boolean(me);
  $("signed-in").hidden = !me;
  $("pay-go").disabled = $("cut").disabled = !me;
  $("watch").hidden = me?.user.role === "ADMIN" || Boolean(observer);
  if (me && wasOut) $("logout").focus();
  if (!me && wasIn) document.querySelector("[data-demo]").focus();
  if ($("watch").hidden && wasWatch) $("live-title").focus();
  if (!me) { payments.clear(); sent.clear(); $("payments").replaceChildren(); say("pay-say", ""); return; }
  $("me-name").textContent = me.user.name;
  $("me-role").textContent = me.user.role.toLowerCase();
  $("me-email").textContent = me.user.email;
  $("profile").open = false;
  const to = $("pay").elements.recipientEmail;
  if (to.value === me.user.email) to.value = me.user.email === "vendor@example.com" ? "customer@example.com" : "vendor@example.com";
}

function say(id, text, bad = false) {
  $(id).textContent = text;
  $(id).toggleAttribute("data-bad", bad);
}

for (const button of document.querySelectorAll("[data-demo]")) {
  button.addEventListener("click", () => signIn(button.dataset.demo, DEMO_PASSWORD));
}
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const { email, password } = event.target.elements;
  signIn(email.value, password.value);
});
$("profile").addEventListener("toggle", async () => {
  const person = me;
  if (!$("profile").open || !person) return;
  try {
    const profile = await person.call("/api/profile");
    if (me !== person) return;
    $("profile-say").textContent = [profile.phone, profile.address, profile.bio].filter((part) => typeof part === "string" && part).join(" · ") || "Nothing in it yet.";
  } catch (problem) {
    if (me === person) $("profile-say").textContent = problem.text ?? problem.message;
  }
});
$("logout").addEventListener("click", () => {
  if (me) left = me.signOut();
});
$("watch").addEventListener("click", () => alone(async () => {
  say("live-say", "Signing in …");
  try {
    const person = new Person({
      transport: "body",
      onEnd: (reason) => {
        if (observer !== person) return;
        observer = undefined;
        showMe();
        say("live-say", reason ? `No longer watching: ${reason}` : "", true);
      },
    });
    await person.signIn("admin@example.com", DEMO_PASSWORD);
    observer = person;
    // What admins hear besides is shown while nobody else is signed in here.
    observer.rooms.on("system:live", { event: ({ event }) => sample(event.data) });
    observer.rooms.onAny({ event: ({ event, room }) => me || onEvent(event, room) });
    observer.rooms.open();
    say("live-say", "Watching with a second session, the demo admin's.");
    showMe();
  } catch (problem) {
    say("live-say", problem.text ?? problem.message, true);
  }
}));

// === Payments ===

const payments = new Map();
const sent = new Map();

$("pay").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { recipientEmail, amount, currency, description } = event.target.elements;
  const started = performance.now();
  const person = me;
  if (!person) return;
  try {
    const payment = await person.call("/api/payments", {
      method: "POST",
      headers: { "idempotency-key": hex(16) },
      body: { amount: amount.value, currency: currency.value, type: "instant", recipientEmail: recipientEmail.value, description: description.value },
    });
    // Its answer is for who has paid, and not for who is here by now.
    if (me !== person) return;
    const took = performance.now() - started;
    sent.set(payment.id, started);
    if (sent.size > 50) sent.delete(sent.keys().next().value);
    figure("browser", ms(took), "POST answered in");
    say("pay-say", `Accepted in ${ms(took)}; now watch it travel.`);
    keepPayment(payment);
    followPayment(payment.id);
    // Its end may have been here before the answer was.
    const end = payments.get(payment.id)?.steps.find(isEnd);
    if (end) sayEnd(payment.id, payment.description, end);
  } catch (problem) {
    if (me === person) say("pay-say", problem.text ?? problem.message, true);
  }
});

async function loadPayments(person) {
  try {
    const { items } = await person.call("/api/payments?limit=6");
    if (me !== person) return;
    for (const payment of items.reverse()) keepPayment(payment);
    if (items.length && !followed) followPayment(items.at(-1).id);
  } catch (problem) {
    if (me === person) say("pay-say", problem.text ?? problem.message, true);
  }
}

const isEnd = ({ status }) => ["completed", "failed", "cancelled"].includes(status);

function sayEnd(id, description, { status, at }) {
  say("pay-say", `${description}: ${status} after ${ms(at - sent.get(id))}.`);
}

function keepPayment({ id, status, amount, currency, description, sender, recipient }) {
  for (const party of [sender, recipient]) if (party) names.set(party.id, party.name);
  const known = payments.get(id) ?? { steps: [] };
  if (!known.steps.some((step) => step.status === status)) {
    known.steps.push({ status, at: performance.now() });
    if (sent.has(id)) known.steps.filter(isEnd).forEach((end) => sayEnd(id, description, end));
  }
  // Rank by the state machine: events and the answer of the POST may arrive in either order.
  const rank = { pending: 0, processing: 1, completed: 2, failed: 2, cancelled: 2 };
  known.steps.sort((a, b) => rank[a.status] - rank[b.status]);
  payments.delete(id);
  payments.set(id, { ...known, amount: amount ?? known.amount, currency: currency ?? known.currency, description: description ?? known.description });
  while (payments.size > 6) payments.delete(payments.keys().next().value);
  $("payments").replaceChildren(...[...payments.entries()].reverse().map(([id, payment]) => {
    const steps = el("div", { class: "steps" });
    payment.steps.forEach((step, index) => {
      if (index) steps.append("→");
      steps.append(el("span", { "data-s": step.status }, sent.has(id) ? `${step.status} ${ms(step.at - sent.get(id))}` : step.status));
    });
    return el("li", {}, el("div", { class: "head" }, el("span", {}, payment.description ?? ""), el("b", {}, `${payment.amount} ${payment.currency}`)), steps);
  }));
}

// === Rooms ===

/** What is shown of each room that one is in. */
const rows = new Map();
const names = new Map();
/** The payment whose room one is in. */
let followed;
/** When the link was cut or lost. */
let lostAt;
/** That the link is dead has been told. */
let dead = false;

/** Listens to a room: one of the server's, which is not asked for, or one that is. */
function watchRoom(person, room) {
  if (rows.has(room)) return;
  const row = { room, live: false, first: true, heard: 0, caught: 0, gap: undefined, there: undefined, asking: false, again: false };
  rows.set(room, row);
  const listener = {
    event: ({ event }) => {
      row.heard += 1;
      if (!row.live) row.caught += 1;
      if (room === "system:live") sample(event.data);
      showRooms();
    },
    gap: ({ reason }) => {
      row.gap = reason;
      if (room !== "system:live") loadPayments(person);
      showRooms();
    },
    live: () => {
      row.live = true;
      askWho(person, row);
      showRooms();
    },
    joined: () => askWho(person, row),
    left: () => askWho(person, row),
    ended: ({ code }) => {
      if (rows.get(room) === row) rows.delete(room);
      if (code !== "CLOSED") note(`${short(room)} is not open to you: ${code}.`);
      showRooms();
    },
  };
  row.stop = person.rooms.on(room, listener);
  showRooms();
}

/** Users and their connections, where a room tells. Who comes or goes while it is asked may be in the answer or not. */
async function askWho(person, row) {
  if (!/^(user|payment):/.test(row.room)) return;
  row.again = true;
  if (row.asking) return;
  row.asking = true;
  while (row.again && rows.get(row.room) === row) {
    row.again = false;
    try {
      const { members, total } = await person.rooms.presence(row.room);
      row.there = { members, total };
    } catch {
      row.there = undefined;
    }
    showRooms();
  }
  row.asking = false;
}

/** The room of one payment at a time: the newest, or the one that was chosen. */
function followPayment(id) {
  if (!me || followed === id) return;
  const before = rows.get(`payment:${followed}`);
  before?.stop();
  rows.delete(before?.room);
  followed = id;
  watchRoom(me, `payment:${id}`);
}

function forgetRooms() {
  rows.clear();
  followed = lostAt = undefined;
  dead = false;
  if (link.cut) $("cut").click();
  $("link-log").replaceChildren();
  showRooms();
}

function showState(state, person) {
  const chip = (kind, text) => {
    $("socket").dataset.state = kind;
    $("socket").querySelector("b").textContent = text;
  };
  const { phase } = state;
  if (phase === "open") chip(link.cut ? "wait" : "on", link.cut ? "cut, and nobody knows" : `connected as ${person.user.name}`);
  else if (phase === "recovering") chip("wait", "catching up");
  else if (phase === "opening") chip("wait", "connecting");
  else if (phase === "waiting") chip("wait", `lost, again in ${ms(state.delayMs)}`);
  else chip("off", "not connected");
  if (phase === "waiting" || phase === "opening") {
    for (const row of rows.values()) {
      if (row.live) Object.assign(row, { live: false, first: false, caught: 0, gap: undefined });
    }
    if (phase === "waiting" && !dead) {
      dead = true;
      note(`The link is dead (${state.code})${lostAt === undefined ? "" : `, found out after ${ms(performance.now() - lostAt)}`}.`);
      lostAt ??= performance.now();
    }
  }
  if (phase === "open") dead = false;
  if (phase === "open" && lostAt !== undefined && !link.cut) {
    const back = [...rows.values()].filter(({ first }) => !first);
    const caught = back.filter((row) => row.caught > 0);
    const gaps = back.filter((row) => row.gap);
    const events = caught.reduce((sum, row) => sum + row.caught, 0);
    const what = events ? `caught up ${events} event${events === 1 ? "" : "s"} in ${caught.map(({ room }) => short(room)).join(", ")}` : "nothing was missed";
    note(`Back after ${ms(performance.now() - lostAt)}: ${what}; ${gaps.length ? `a gap (${gaps.map(({ gap }) => gap).join(", ")}), loaded anew` : "no gap"}.`);
    lostAt = undefined;
  }
  showRooms();
}

function note(text) {
  $("link-log").prepend(el("li", {}, el("time", {}, new Date().toLocaleTimeString()), el("span", {}, text)));
  while ($("link-log").children.length > LOG_LENGTH) $("link-log").lastChild.remove();
}

$("cut").addEventListener("click", () => {
  if (!link.cut) lostAt = performance.now();
  note(link.cut ? "The link is mended." : "The link is cut: nothing comes through, and neither side is told.");
  link.toggle();
  $("cut").textContent = link.cut ? "Mend the link" : "Cut the link";
  $("cut").setAttribute("aria-pressed", String(link.cut));
  // Mended before anybody found out: as if nothing had been.
  if (!link.cut && me?.rooms.state.phase === "open") lostAt = undefined;
  if (me) showState(me.rooms.state, me);
});

const short = (room) => room.replace(/([0-9a-f]{6})[0-9a-f-]{20,}([0-9a-f]{4})$/, "$1…$2");

let showing = false;
// Many events, one picture.
function showRooms() {
  if (showing) return;
  showing = true;
  requestAnimationFrame(() => {
    showing = false;
    $("rooms-none").hidden = rows.size > 0;
    $("rooms").parentElement.hidden = rows.size === 0;
    $("rooms").replaceChildren(...[...rows.values()].map((row) => {
      const place = me?.rooms.place(row.room);
      const where = row.live ? (row.gap ? "gap" : "live") : row.first ? "joining" : "behind";
      const there = row.there?.members.map(({ userId, connections }) => {
        const name = userId === me?.user.id ? "you" : (names.get(userId) ?? `${userId.slice(0, 6)}…`);
        return connections > 1 ? `${name} ×${connections}` : connections ? name : `${name} (away)`;
      });
      const more = row.there ? row.there.total - row.there.members.length : 0;
      return el("tr", { "data-room": row.room },
        el("th", { scope: "row", title: row.room }, el("code", {}, short(row.room))),
        el("td", {}, el("span", { class: "where", "data-s": where }, row.gap && row.live ? `gap: ${row.gap}` : where)),
        el("td", { class: "num", title: place ? `epoch ${place.epoch}` : "" }, place ? el("span", { class: "epoch" }, place.epoch.slice(0, 4)) : "", place ? ` ${place.offset}` : "–"),
        el("td", { class: "num" }, String(row.heard)),
        el("td", { class: "num", "data-caught": "" }, row.first ? "–" : String(row.caught)),
        el("td", {}, there ? there.join(", ") + (more > 0 ? ` and ${more} more` : "") : "–"));
    }));
  });
}

// === Events ===

let shown = 0;

function onEvent(event, room, caught) {
  if (event.type === "system.live.sampled") return;
  const lag = Math.max(0, Date.now() - Date.parse(event.time));
  const kind = /completed|created$/.test(event.type) ? "good" : /failed|cancelled|revoked|deleted/.test(event.type) ? "bad" : /updated|audit/.test(event.type) ? "mid" : "info";
  if (event.type.startsWith("payments.payment.") && [event.data.senderId, event.data.recipientId].includes(me?.user.id)) {
    keepPayment({ ...event.data, id: event.data.paymentId });
    if (event.type.endsWith(".created")) followPayment(event.data.paymentId);
  }
  if (!caught) figure("tab", ms(lag), "commit to here");
  ride(kind);
  const what = event.type.startsWith("payments.") ? `${event.data.amount} ${event.data.currency} · ${event.data.status} · ${event.data.description}`
    : event.type.startsWith("admin.audit") ? `${event.data.action} on ${event.data.resourceType}`
    : event.data.email ?? event.data.reason ?? event.subject ?? "";
  const feed = $("feed");
  feed.querySelector(".empty")?.remove();
  const reading = feed.parentElement.scrollTop;
  const height = feed.scrollHeight;
  feed.prepend(el("li", {},
    el("time", { datetime: event.time }, new Date(event.time).toLocaleTimeString()),
    el("span", {}, el("span", { class: "type", "data-k": kind }, event.type), el("span", { class: "what" }, `${what} — to ${short(room)}`)),
    el("span", { class: "ms" }, caught ? `caught up, ${ms(lag)}` : ms(lag))));
  while (feed.children.length > FEED_LENGTH) feed.lastChild.remove();
  // Whoever has scrolled down keeps the place that they read.
  if (reading > 0) feed.parentElement.scrollTop = reading + feed.scrollHeight - height;
  $("feed-count").textContent = String(++shown);
}

const reduced = matchMedia("(prefers-reduced-motion: reduce)");
let riding = 0;

// A tram for each event, from the gateway to the tab; a burst shows the first few.
function ride(kind) {
  if (reduced.matches || riding > 6) return;
  riding += 1;
  const tram = el("li", { class: `tram ${kind}`, "aria-hidden": "true", role: "presentation" });
  $("line").append(tram);
  const at = (stop) => `${((stop + 0.5) / 6) * 100}%`;
  tram.animate([{ left: at(1) }, { left: at(2) }, { left: at(3) }, { left: at(4) }, { left: at(5) }], { duration: 1_100, easing: "ease-in-out" })
    .finished.finally(() => { tram.remove(); riding -= 1; });
}

// === The live room ===

const history = [];

function sample(data) {
  const tile = (name, text) => { document.querySelector(`[data-tile="${name}"]`).textContent = text; };
  if (data.http) { tile("http", round(data.http.rate)); }
  if (data.events) tile("events", round(data.events.rate));
  if (data.sockets) tile("sockets", String(data.sockets.connections));
  if (data.caches) showCaches(data.caches, tile);
  for (const { name, count, p50Ms, p99Ms } of data.hops ?? []) {
    figure(name, p50Ms === undefined ? String(count) : ms(p50Ms), p99Ms === undefined ? `${count} so far` : `p99 ${ms(p99Ms)} · ${count}`);
  }
  history.push({ http: data.http?.rate ?? 0, events: data.events?.rate ?? 0, caches: data.caches });
  if (history.length > SAMPLES) history.shift();
  const peak = Math.max(1, ...history.flatMap(({ http, events }) => [http, events]));
  for (const name of ["http", "events"]) {
    const points = history.map((point, index) => `${((index + SAMPLES - history.length) * 300) / (SAMPLES - 1)},${57 - (54 * point[name]) / peak}`);
    document.querySelector(`#spark .${name}`).setAttribute("points", points.join(" "));
  }
  if (data.queues) {
    $("queues").replaceChildren(...grouped(data.queues).map(({ name, messages, consumers }) => {
      const bar = el("span", { class: "bar" }, el("i"));
      bar.firstChild.style.width = `${Math.min(100, Math.log2(messages + 1) * 10)}%`;
      return el("li", {}, el("code", { title: name }, name), bar, el("span", {}, consumers ? `${messages} waiting · ${consumers} consuming` : `${messages} waiting`));
    }));
  }
}

// Counted since the start; what the last minute added says how it is now.
function showCaches(caches, tile) {
  // The first sample has nothing before it, and a gateway that began anew counts anew.
  const before = history.find((past) => past.caches)?.caches ?? caches;
  const added = (now, then) => Math.max(0, now - then);
  const share = ({ hits, misses }) => (hits + misses ? Math.round((100 * hits) / (hits + misses)) : undefined);
  const rows = Object.entries(caches).map(([name, { hits, misses }]) => {
    const first = before[name] ?? { hits: 0, misses: 0 };
    return { name, whole: { hits, misses }, last: { hits: added(hits, first.hits), misses: added(misses, first.misses) } };
  });
  const sum = (of) => rows.reduce((all, row) => ({ hits: all.hits + row[of].hits, misses: all.misses + row[of].misses }), { hits: 0, misses: 0 });
  const said = ({ whole, last }) => share(last) ?? share(whole);
  const all = said({ whole: sum("whole"), last: sum("last") });
  tile("cache", all === undefined ? "–" : `${all} %`);
  rows.sort((a, b) => b.last.hits + b.last.misses - a.last.hits - a.last.misses);
  $("caches").replaceChildren(...rows.map((row) => {
    const { name, whole, last } = row;
    const bar = el("span", { class: "bar" }, el("i"));
    bar.firstChild.style.width = `${said(row) ?? 0}%`;
    const text = share(last) !== undefined ? `${share(last)} % of ${last.hits + last.misses}` : share(whole) !== undefined ? `${share(whole)} % since the start` : "not asked";
    return el("li", {}, el("code", { title: name }, name), bar, el("span", {}, text));
  }));
}

// The work queues by name; the feeds of processes and the tiers of delayed retries each as one row.
function grouped(queues) {
  const groups = new Map();
  for (const { name, messages, consumers } of queues) {
    const key = /^(gateway|revocations)[.]/.test(name) ? "feeds of processes" : name.startsWith("tramline.delay") ? "delayed retries" : name;
    const group = groups.get(key) ?? { name: key, messages: 0, consumers: 0 };
    group.messages += messages;
    group.consumers += consumers;
    groups.set(key, group);
  }
  const rank = ({ name }) => (name === "delayed retries" ? 2 : name === "feeds of processes" ? 1 : 0);
  return [...groups.values()].sort((a, b) => rank(a) - rank(b));
}

function figure(hop, text, note) {
  const stop = document.querySelector(`[data-hop="${hop}"]`);
  if (!stop) return;
  stop.querySelector("[data-fig]").textContent = text;
  if (note) stop.querySelector("[data-note]").textContent = note;
}

function ms(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : value < 1_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

function round(value) {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

resume();
