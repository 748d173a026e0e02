// What only a browser can show, against a real server.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import type { Page as Tab } from "playwright-core";

import { Bed, freeze, hears, missing, shows } from "./support.js";

describe("in Chromium", { skip: missing() }, () => {
  let bed: Bed;
  before(async () => (bed = await Bed.start()));
  after(() => bed?.stop());
  afterEach(async () => {
    // One that failed is not the others' failure.
    await bed.ask("/heal");
    assert.deepEqual(bed.complaints.splice(0), []);
  });

  const ready = async (tab: Tab) => {
    await shows(tab, "phase", "open");
    await shows(tab, "room", "live");
  };

  test("a page from a server is taken over, asks once for its room, reads once, and shows what comes", async () => {
    const person = await bed.person();
    const sent: { type: string; room?: string }[] = [];
    const tab = await bed.open(person, "ada", 0, (tab) =>
      tab.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(JSON.parse(String(payload))))),
    );
    await ready(tab);
    await shows(tab, "present", "ada");
    await shows(tab, "balance", "read 1");
    await bed.publish("a1");
    await hears(tab, "a1");
    await shows(tab, "balance", "read 1, a1");
    await bed.publish("a2", ["payment:1"], "unknown");
    await shows(tab, "balance", "read 2");
    assert.deepEqual(sent.filter(({ type }) => type === "subscribe").map(({ room }) => room), ["payment:1"]);
    await person.close();
  });

  test("a socket that is half open is found out when the network is back, and nothing is lost", async () => {
    const person = await bed.person();
    const tab = await bed.open(person, "ada");
    await ready(tab);
    await bed.ask("/silence");
    for (const id of ["b1", "b2", "b3"]) await bed.publish(id);
    assert.equal(await tab.evaluate(() => page.rooms.state.phase), "open");
    await tab.evaluate(() => dispatchEvent(new Event("online")));
    await tab.waitForFunction(() => page.rooms.state.phase !== "open");
    assert.deepEqual(await tab.evaluate(() => page.heard), []);
    await bed.ask("/heal");
    await ready(tab);
    await hears(tab, "b1", "b2", "b3");
    await shows(tab, "balance", "read 1, b1, b2, b3");
    await person.close();
  });

  test("two tabs are two connections of one user, on two nodes; each hears everything once, over a cut", async () => {
    const person = await bed.person();
    const tabs = [await bed.open(person, "ada", 0), await bed.open(person, "ada", 1)];
    for (const tab of tabs) await ready(tab);
    await bed.publish("c1", ["user:ada", "payment:1"]);
    for (const tab of tabs) await hears(tab, "c1");
    await bed.ask("/cut");
    await bed.publish("c2", ["payment:1", "user:ada"]);
    for (const tab of tabs) {
      await hears(tab, "c1", "c2");
      await ready(tab);
      const any = await tab.evaluate(() => page.any);
      assert.deepEqual(any.map((heard) => heard.split(" ")[1]), ["c1", "c2"]);
    }
    await person.close();
  });

  test("two users hear what is theirs, and see each other come and go", async () => {
    const [ada, bob] = [await bed.person(), await bed.person()];
    const first = await bed.open(ada, "ada");
    await shows(first, "present", "ada");
    const second = await bed.open(bob, "bob");
    await shows(second, "present", "ada,bob");
    await shows(first, "present", "ada,bob");
    await bed.publish("d1", ["user:ada"]);
    await bed.publish("d2", ["broadcast"]);
    for (const [tab, heard] of [[first, ["user:ada d1", "broadcast d2"]], [second, ["broadcast d2"]]] as const) {
      await tab.waitForFunction(() => page.any.some((heard) => heard.endsWith("d2")));
      assert.deepEqual(await tab.evaluate(() => page.any), heard);
    }
    await bob.close();
    await shows(first, "present", "ada");
    await ada.close();
  });

  test("a page that was frozen catches up when it wakes", async () => {
    const person = await bed.person();
    const tab = await bed.open(person, "ada");
    await ready(tab);
    const wake = await freeze(tab);
    await bed.ask("/silence");
    for (const id of ["e1", "e2"]) await bed.publish(id);
    await wake();
    assert.deepEqual(await tab.evaluate(() => page.life), ["freeze", "resume"]);
    // Chromium closes the socket of a page that it freezes, and the page hears of it when it wakes.
    await tab.waitForFunction(() => page.rooms.state.phase !== "open");
    assert.deepEqual(await tab.evaluate(() => page.heard), []);
    await bed.ask("/heal");
    await hears(tab, "e1", "e2");
    await ready(tab);
    await person.close();
  });

  test("a refused upgrade is asked why: a token that has ended is renewed, others stop or wait", async () => {
    const person = await bed.person();
    const asked: string[] = [];
    const renewed = await bed.open(person, "expired,ada", 0, (tab) =>
      tab.on("request", (request) => {
        if (new URL(request.url()).pathname === "/ws" && request.resourceType() !== "websocket") {
          asked.push(`${request.method()} ${request.headers()["authorization"]}`);
        }
      }),
    );
    await ready(renewed);
    assert.deepEqual(asked, ["GET Bearer expired"]);
    await shows(await bed.open(person, "forbidden"), "phase", "stopped: forbidden");
    await shows(await bed.open(person, "expired"), "phase", "stopped: unauthenticated");
    const away = await bed.open(person, "away");
    // Phase and delay in one look: three seconds later it is opening again.
    const waits = () => page.rooms.state.phase === "waiting" && page.rooms.state.delayMs;
    const delayMs = Number(await (await away.waitForFunction(waits)).jsonValue());
    // The server's three seconds, spread over one.
    assert.ok(delayMs >= 3_000 && delayMs <= 4_000, `${delayMs} ms`);
    await person.close();
  });

  test("a node that is drained hands its people over, and a session that is ended stops", async () => {
    const person = await bed.person();
    const tab = await bed.open(person, "ada");
    await ready(tab);
    const before = await tab.evaluate(() => page.rooms.state);
    await bed.ask("/drain", { node: 0 });
    await bed.publish("f1");
    await tab.waitForFunction((id) => {
      const { state } = page.rooms;
      return state.phase === "open" && state.connectionId !== id;
    }, before.phase === "open" ? before.connectionId : "");
    await bed.publish("f2");
    await hears(tab, "f1", "f2");
    await bed.ask("/revoke", { user: "ada" });
    await shows(tab, "phase", "stopped: revoked");
    await shows(tab, "room", "ended");
    await person.close();
  });
});
