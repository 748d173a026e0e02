// The built-in page: rooms, presence and recovery, as people see them.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { events, missing, pay, shows, System } from "../system.mjs";

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
    const [customer, vendor] = [await system.person("customer"), await system.person("vendor")];
    await shows(customer, cell("user:", 2), "live");
    await customer.click("#cut");
    await pay(customer, "Held");
    // All of it has been sent.
    await ends(vendor, "Held");
    assert.deepEqual(await events(customer, "Held"), []);
    await customer.click("#cut");
    await ends(customer, "Held");
    assert.deepEqual(await events(customer, "Held"), await events(vendor, "Held"));
    for (const tab of [customer, vendor]) await tab.context().close();
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
});
