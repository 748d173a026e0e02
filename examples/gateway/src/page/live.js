// The built-in page: sign in, pay, and watch. One module, no dependencies.

const DEMO_PASSWORD = "TestPassword123!";
const FEED_LENGTH = 60;
const SAMPLES = 60;
const RENEW_AGAIN = 5_000;
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
  });
  const text = await response.text();
  let json = {};
  try { json = text ? JSON.parse(text) : {}; } catch { /* a body that is no JSON is told by its status */ }
  if (!response.ok) throw new Problem(response.status, json);
  return json;
}

// === A person: a session, its token kept fresh, its socket kept open ===

class Person {
  constructor({ transport, onEvent, onGap, onState, onEnd }) {
    Object.assign(this, { transport, onEvent, onGap, onState, onEnd });
    this.positions = new Map();
    this.wanted = new Set();
    this.attempt = 0;
    this.silence = 60_000;
  }

  async signIn(email, password) {
    const device = { id: deviceId(this.transport), name: navigator.platform || "browser", kind: "browser" };
    this.take(await call("/api/auth/login", { method: "POST", body: { email, password, device, transport: this.transport } }));
    this.connect();
  }

  async renew() {
    const body = { device: { id: deviceId(this.transport) }, ...(this.refreshToken ? { refreshToken: this.refreshToken } : {}) };
    this.take(await call("/api/auth/refresh", { method: "POST", body }));
    this.send({ type: "auth", id: "renew", token: this.token });
  }

  take(grant) {
    this.token = grant.accessToken;
    this.refreshToken = grant.refreshToken;
    if (grant.user) this.user = grant.user;
    this.renewIn(grant.expiresIn * 800);
  }

  // Only the server's word ends the sign-in; a network that is away for a moment does not.
  renewIn(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.renew().catch((problem) => {
      if (isRefusal(problem)) this.end(problem.message);
      else this.renewIn(RENEW_AGAIN);
    }), delay);
  }

  connect() {
    this.onState?.("wait", "connecting");
    clearTimeout(this.watchdog);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`, ["tramline.v1", `bearer.${this.token}`]);
    this.socket = socket;
    this.retryAfter = undefined;
    socket.addEventListener("message", ({ data }) => {
      if (this.socket !== socket) return;
      this.listen(socket);
      this.receive(JSON.parse(data));
    });
    socket.addEventListener("close", ({ code }) => this.closed(socket, code));
  }

  // The server says something at least every `heartbeatSeconds`: a link that stays silent for twice as long is dead,
  // and the browser may take minutes to find out.
  listen(socket) {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => { socket.close(); this.closed(socket, 1006); }, this.silence);
  }

  closed(socket, code) {
    if (this.socket !== socket || this.ended) return;
    this.socket = undefined;
    clearTimeout(this.watchdog);
    if (code === 1000 || (code >= 4000 && code < 4100)) return this.end(code === 4009 ? "This session was ended." : `The socket was closed for good (${code}).`);
    // 42xx come back soon; everything else backs off, never to nothing.
    const most = code >= 4200 && code < 4300 ? 500 : Math.min(20_000, 1_000 * 2 ** this.attempt);
    this.attempt += 1;
    this.onState?.("wait", "reconnecting");
    setTimeout(async () => {
      if (this.ended) return;
      // A refused upgrade cannot be read: the second time the token is the suspect.
      try { if (code === 4201 || this.attempt > 1) await this.renew(); } catch (problem) { if (isRefusal(problem)) return this.end(problem.message); }
      if (!this.ended) this.connect();
    }, this.retryAfter ?? most * (0.5 + Math.random() / 2));
  }

  receive(frame) {
    if (frame.type === "welcome") {
      this.attempt = 0;
      if (frame.heartbeatSeconds) this.silence = 2_000 * frame.heartbeatSeconds;
      this.onState?.("on", `connected as ${this.user.name}`);
      for (const { room, epoch, offset } of frame.rooms) this.join(room, epoch, offset);
      // Where we were in it, if we were: what came meanwhile is asked for, and a loss is told.
      for (const room of this.wanted) this.send({ type: "subscribe", id: room, room, since: this.positions.get(room) });
    } else if (frame.type === "subscribed") {
      this.positions.set(frame.room, { epoch: frame.epoch, offset: frame.offset });
      for (const { event } of frame.events ?? []) this.onEvent?.(event, frame.room);
      // Not all that was missed came with it.
      if (frame.recovered === false) this.onGap?.();
    } else if (frame.type === "event" || frame.type === "position" || frame.type === "gap") {
      const known = this.positions.get(frame.room) ?? {};
      this.positions.set(frame.room, { epoch: frame.epoch ?? known.epoch, offset: frame.offset });
      if (frame.type === "event") this.onEvent?.(frame.event, frame.room);
      if (frame.type === "gap") this.onGap?.();
    } else if (frame.type === "authenticated") {
      // Another role has other rooms.
      for (const { room, epoch, offset } of frame.rooms ?? []) this.join(room, epoch, offset);
    } else if (frame.type === "unsubscribed") {
      this.positions.delete(frame.room);
    } else if (frame.type === "goodbye") {
      this.retryAfter = frame.retryAfterMs;
    } else if (frame.type === "ping" && frame.expiresAt) {
      this.renew().catch((problem) => { if (isRefusal(problem)) this.end(problem.message); });
    } else if (frame.type === "error" && frame.retry && this.wanted.has(frame.id)) {
      const socket = this.socket;
      setTimeout(() => { if (this.socket === socket) this.send({ type: "subscribe", id: frame.id, room: frame.id, since: this.positions.get(frame.id) }); }, 2_000);
    }
  }

  // A room the server joined us to: where we were before tells whether something was missed.
  join(room, epoch, offset) {
    const known = this.positions.get(room);
    if (known && (known.epoch !== epoch || known.offset < offset)) this.send({ type: "subscribe", id: room, room, since: known });
    else this.positions.set(room, { epoch, offset });
  }

  want(room) {
    this.wanted.add(room);
    this.send({ type: "subscribe", id: room, room });
  }

  send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  async signOut() {
    const token = this.token;
    this.end();
    await call("/api/auth/logout", { method: "POST", token }).catch(() => {});
  }

  end(reason) {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    this.socket?.close(1000);
    this.onState?.("off", "not connected");
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

function newMe() {
  return new Person({
    transport: "cookie",
    onEvent,
    onGap: loadPayments,
    onState: (state, text) => {
      $("socket").dataset.state = state;
      $("socket").querySelector("b").textContent = text;
    },
    onEnd: (reason) => {
      localStorage.removeItem("signed-in");
      me = undefined;
      showMe();
      if (reason) say("who-say", reason, true);
    },
  });
}

async function signIn(email, password) {
  say("who-say", "Signing in …");
  try {
    const person = newMe();
    await person.signIn(email, password);
    me = person;
    localStorage.setItem("signed-in", "1");
    say("who-say", "");
    showMe();
    await loadPayments();
    if (me.user.role === "ADMIN") me.want("system:live");
  } catch (problem) {
    say("who-say", problem.text ?? problem.message, true);
  }
}

async function resume() {
  if (!localStorage.getItem("signed-in")) return;
  const person = newMe();
  try {
    await person.renew();
    person.user = await call("/api/auth/me", { token: person.token });
    person.connect();
    me = person;
    showMe();
    await loadPayments();
    if (me.user.role === "ADMIN") me.want("system:live");
  } catch (problem) {
    if (isRefusal(problem)) localStorage.removeItem("signed-in");
    else say("who-say", "The server does not answer; reload to try again.", true);
  }
}

function showMe() {
  // Whoever stood on what is hidden now stands beside it, not at the top of the page.
  const within = (id) => $(id).contains(document.activeElement);
  const [wasOut, wasIn, wasWatch] = [within("signed-out"), within("signed-in"), within("watch")];
  $("signed-out").hidden = Boolean(me);
  $("signed-in").hidden = !me;
  $("pay-go").disabled = !me;
  $("watch").hidden = me?.user.role === "ADMIN" || Boolean(observer);
  if (me && wasOut) $("logout").focus();
  if (!me && wasIn) document.querySelector("[data-demo]").focus();
  if ($("watch").hidden && wasWatch) $("live-title").focus();
  if (!me) { payments.clear(); $("payments").replaceChildren(); say("pay-say", ""); return; }
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
  if (!$("profile").open || !me) return;
  try {
    const profile = await call("/api/profile", { token: me.token });
    $("profile-say").textContent = [profile.phone, profile.address, profile.bio].filter((part) => typeof part === "string" && part).join(" · ") || "Nothing in it yet.";
  } catch (problem) {
    $("profile-say").textContent = problem.text ?? problem.message;
  }
});
$("logout").addEventListener("click", () => me?.signOut());
$("watch").addEventListener("click", async () => {
  try {
    const person = new Person({
      transport: "body",
      onEvent,
      onEnd: (reason) => {
        observer = undefined;
        showMe();
        say("live-say", reason ? `No longer watching: ${reason}` : "", true);
      },
    });
    await person.signIn("admin@example.com", DEMO_PASSWORD);
    observer = person;
    observer.want("system:live");
    say("live-say", "Watching with a second session, the demo admin's.");
    showMe();
  } catch (problem) {
    say("live-say", problem.text ?? problem.message, true);
  }
});

// === Payments ===

const payments = new Map();
const sent = new Map();

$("pay").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { recipientEmail, amount, currency, description } = event.target.elements;
  const started = performance.now();
  try {
    const payment = await call("/api/payments", {
      method: "POST",
      token: me.token,
      headers: { "idempotency-key": hex(16) },
      body: { amount: amount.value, currency: currency.value, type: "instant", recipientEmail: recipientEmail.value, description: description.value },
    });
    const took = performance.now() - started;
    sent.set(payment.id, started);
    if (sent.size > 50) sent.delete(sent.keys().next().value);
    figure("browser", ms(took), "POST answered in");
    say("pay-say", `Accepted in ${ms(took)}; now watch it travel.`);
    keepPayment(payment);
    // Its end may have been here before the answer was.
    const end = payments.get(payment.id)?.steps.find(isEnd);
    if (end) sayEnd(payment.id, payment.description, end);
  } catch (problem) {
    say("pay-say", problem.text ?? problem.message, true);
  }
});

async function loadPayments() {
  if (!me) return;
  try {
    const { items } = await call("/api/payments?limit=6", { token: me.token });
    for (const payment of items.reverse()) keepPayment(payment);
  } catch (problem) {
    say("pay-say", problem.text ?? problem.message, true);
  }
}

const isEnd = ({ status }) => ["completed", "failed", "cancelled"].includes(status);

function sayEnd(id, description, { status, at }) {
  say("pay-say", `${description}: ${status} after ${ms(at - sent.get(id))}.`);
}

function keepPayment({ id, status, amount, currency, description }) {
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

// === Events ===

const seen = new Set();
let shown = 0;

function onEvent(event, room) {
  if (seen.has(event.id)) return;
  seen.add(event.id);
  if (seen.size > 2_000) seen.delete(seen.values().next().value);
  if (event.type === "system.live.sampled") return sample(event.data);
  const lag = Math.max(0, Date.now() - Date.parse(event.time));
  const kind = /completed|created$/.test(event.type) ? "good" : /failed|cancelled|revoked|deleted/.test(event.type) ? "bad" : /updated|audit/.test(event.type) ? "mid" : "info";
  if (event.type.startsWith("payments.payment.") && [event.data.senderId, event.data.recipientId].includes(me?.user.id)) {
    keepPayment({ ...event.data, id: event.data.paymentId });
  }
  figure("tab", ms(lag), "commit to here");
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
    el("span", {}, el("span", { class: "type", "data-k": kind }, event.type), el("span", { class: "what" }, `${what} — to ${room.length > 24 ? `${room.slice(0, 14)}…` : room}`)),
    el("span", { class: "ms" }, ms(lag))));
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
  if (data.cache) tile("cache", data.cache.hits + data.cache.misses ? `${Math.round((100 * data.cache.hits) / (data.cache.hits + data.cache.misses))} %` : "–");
  for (const { name, count, p50Ms, p99Ms } of data.hops ?? []) {
    figure(name, p50Ms === undefined ? String(count) : ms(p50Ms), p99Ms === undefined ? `${count} so far` : `p99 ${ms(p99Ms)} · ${count}`);
  }
  history.push({ http: data.http?.rate ?? 0, events: data.events?.rate ?? 0 });
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
