// The built-in page: rooms, presence and recovery, as people see them.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { after, afterEach, before, describe, test } from "node:test";

import { events, missing, PATIENCE, pay, shows, System } from "../system.mjs";

const CREATED = "payments.payment.created";
const COMPLETED = "payments.payment.completed";

describe("the built-in page", { skip: missing() }, () => {
  let system;
  before(async () => (system = await System.start()));
  after(() => system?.stop());
  // A policy that is broken, or a file that is missing, is an error on the console.
  afterEach(() => assert.deepEqual(system.complaints.splice(0), []));

  const cell = (room, n) => `#rooms tr[data-room^="${room}"] :nth-child(${n})`;
  const ends = (tab, text) => tab.waitForFunction((text) => [...document.querySelectorAll("#feed li")].some((item) => item.textContent.includes(text) && item.textContent.includes("completed")), text);

  test("shows one's rooms, their places, and who is there", async () => {
    const [customer, vendor] = [await system.person("customer"), await system.person("vendor")];
    for (const room of ["user:", "role:customer", "broadcast"]) await shows(customer, cell(room, 2), "live");
    await shows(customer, cell("user:", 6), "you");
    await pay(customer, "Two tickets");
    for (const tab of [customer, vendor]) await ends(tab, "Two tickets");
    // Both are in the payment's room, and see each other.
    for (const tab of [customer, vendor]) {
      await shows(tab, cell("payment:", 2), "live");
      await tab.waitForFunction((selector) => document.querySelector(selector).textContent.includes(", "), cell("payment:", 6));
    }
    assert.deepEqual(await events(vendor, "Two tickets"), await events(customer, "Two tickets"));
    await vendor.context().close();
    await customer.waitForFunction((selector) => !document.querySelector(selector).textContent.includes(", "), cell("payment:", 6));
    await customer.context().close();
  });

  test("a link that is cut is found dead, and what was missed comes once when it is mended", async () => {
    const customer = await system.person("customer");
    await pay(customer, "Before");
    await ends(customer, "Before");
    const offset = async () => Number((await customer.textContent(cell("user:", 3))).split(" ").at(-1));
    const before = await offset();
    await customer.click("#cut");
    await shows(customer, "#socket", "cut, and nobody knows");
    await pay(customer, "Meanwhile");
    await shows(customer, "#socket", "lost");
    await shows(customer, cell("user:", 2), "behind");
    assert.deepEqual(await events(customer, "Meanwhile"), []);
    await customer.click("#cut");
    await shows(customer, "#socket", "connected as");
    await ends(customer, "Meanwhile");
    const shown = await events(customer, "Meanwhile");
    assert.deepEqual([shown[0], shown.at(-1), new Set(shown).size], [CREATED, COMPLETED, shown.length]);
    await shows(customer, "#link-log", "no gap");
    assert.match(await customer.textContent("#link-log"), /caught up \d+ events? in user:/);
    assert.ok(Number(await customer.textContent(cell("user:", 5))) >= shown.length);
    assert.ok((await offset()) >= before + shown.length);
    // And goes on.
    await pay(customer, "Afterwards");
    await ends(customer, "Afterwards");
    await customer.context().close();
  });

  test("a link that is mended at once has lost nothing: what was under way arrives", async () => {
    // The page takes a link for dead after five seconds. Where the payment alone takes as long: once more.
    for (let left = 5, atOnce = false; !atOnce; left -= 1) {
      assert.ok(left > 0, "never mended within four seconds");
      const [customer, vendor] = [await system.person("customer"), await system.person("vendor")];
      await shows(customer, cell("user:", 2), "live");
      const [held, cut] = [`Held ${left}`, performance.now()];
      await customer.click("#cut");
      await pay(customer, held);
      // All of it has been sent.
      await ends(vendor, held);
      assert.deepEqual(await events(customer, held), []);
      await customer.click("#cut");
      atOnce = performance.now() - cut < 4_000;
      await ends(customer, held);
      assert.deepEqual(await events(customer, held), await events(vendor, held));
      // Nor did anybody find it dead.
      if (atOnce) assert.doesNotMatch(await customer.textContent("#link-log"), /dead|Back/);
      for (const tab of [customer, vendor]) await tab.context().close();
    }
  });

  test("who signs out is in no room, and the next one is in their own", async () => {
    const tab = await system.person("customer");
    await shows(tab, cell("role:customer", 2), "live");
    await tab.click("#logout");
    await shows(tab, "#socket", "not connected");
    await tab.waitForFunction(() => document.querySelector("#rooms").children.length === 0);
    await tab.click('[data-demo="admin@example.com"]');
    await shows(tab, cell("role:admin", 2), "live");
    await shows(tab, cell("system:live", 2), "live");
    assert.equal(await tab.$(`#rooms tr[data-room="role:customer"]`), null);
    await tab.context().close();
  });

  test("who clicks twice is signed in once", async () => {
    const tab = await system.visitor();
    const asked = [];
    tab.on("request", (request) => request.url().endsWith("/api/auth/login") && asked.push(request));
    await tab.dblclick('[data-demo="customer@example.com"]');
    await shows(tab, cell("user:", 2), "live");
    assert.equal(asked.length, 1);
    await tab.context().close();
  });

  test("an answer that comes after the sign-out is not shown to the next one", async () => {
    const tab = await system.visitor();
    const payment = { id: "0", status: "completed", amount: "1.00", currency: "EUR", description: "Of somebody else" };
    let answer;
    const held = new Promise((done) => (answer = done));
    const late = async (route) => (await held, await route.fulfill({ json: { items: [payment] } }));
    await tab.route("**/api/payments?limit=6", late, { times: 1 });
    const asked = tab.waitForRequest("**/api/payments?limit=6");
    await tab.click('[data-demo="customer@example.com"]');
    await asked;
    await tab.click("#logout");
    await shows(tab, "#socket", "not connected");
    const own = tab.waitForResponse("**/api/payments?limit=6");
    await tab.click('[data-demo="vendor@example.com"]');
    await own;
    answer();
    await pay(tab, "Of the vendor");
    await shows(tab, "#payments", "Of the vendor");
    assert.doesNotMatch(await tab.textContent("#payments"), /somebody else/);
    await tab.context().close();
  });

  test("the room of a payment that is no longer followed does not come back", async () => {
    const customer = await system.person("customer");
    await shows(customer, cell("user:", 2), "live");
    await customer.click("#cut");
    // Both are asked for when the link is mended, and one of them is to be left.
    for (const description of ["One", "Another"]) await pay(customer, description);
    await customer.click("#cut");
    await shows(customer, cell("payment:", 2), "live");
    assert.equal(await customer.locator('#rooms tr[data-room^="payment:"]').count(), 1);
    await customer.context().close();
  });

  test("who signs out with a token that has ended is signed out all the same", async () => {
    const tab = await system.person("customer");
    await tab.route("**/api/auth/logout", (route) => (route.request().headers()["authorization"] ? route.fulfill({ status: 401, json: {} }) : route.continue()));
    const ended = tab.waitForResponse((response) => response.url().endsWith("/api/auth/logout") && response.status() === 204);
    await tab.click("#logout");
    await ended;
    // Chromium tells of every 401.
    assert.match(system.complaints.splice(0).join(), /^[^,]*401[^,]*$/);
    await tab.context().close();
  });

  test("who comes while it is asked who is there is not overlooked", async () => {
    const customer = await system.visitor();
    // The first answer of each payment's room is held.
    const held = new Map();
    const wire = new EventEmitter();
    let own;
    await customer.routeWebSocket(/\/ws$/, (page) => {
      page.connectToServer().onMessage((text) => {
        const { type, room = "", userId } = JSON.parse(text);
        const ofPayment = room.startsWith("payment:");
        if (type === "welcome") own = userId;
        if (ofPayment && type === "presence" && !held.has(room)) {
          held.set(room, () => page.send(text));
          return void wire.emit(`asked ${room}`);
        }
        page.send(text);
        if (ofPayment && type === "joined" && userId !== own) wire.emit(`joined ${room}`);
      });
    });
    await customer.click('[data-demo="customer@example.com"]');
    await shows(customer, cell("user:", 2), "live");
    const paid = customer.waitForResponse((response) => response.request().method() === "POST" && response.url().endsWith("/api/payments"));
    await pay(customer, "For two");
    const room = `payment:${(await (await paid).json()).id}`;
    const soon = { signal: AbortSignal.timeout(PATIENCE) };
    if (!held.has(room)) await once(wire, `asked ${room}`, soon);
    // Follows the newest, which is this one.
    const came = once(wire, `joined ${room}`, soon);
    const vendor = await system.person("vendor");
    await came;
    held.get(room)();
    await customer.waitForFunction((selector) => document.querySelector(selector).textContent.includes(", "), cell("payment:", 6));
    for (const tab of [customer, vendor]) await tab.context().close();
  });
});
