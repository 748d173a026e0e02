// The whole system in one process, and a browser in front of it.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

/** Where `cargo dev test` says that they are. */
export const programs = {
  chromium: process.env["TRAMLINE_TEST_CHROMIUM"],
  programs: process.env["TRAMLINE_TEST_BIN_DIR"],
};

/** Why the tests cannot run, if so; where they must, that is a failure. */
export function missing() {
  const names = Object.entries(programs).flatMap(([name, path]) => (path ? [] : [name]));
  if (names.length === 0) return false;
  if (process.env["TRAMLINE_TEST_ENGINES"] === "required") throw new Error(`not named: ${names.join(", ")}`);
  return `SKIPPED (no ${names.join(", ")}): run \`cargo dev test\``;
}

/** Longer than anything here takes on a busy machine; what does not come until then does not come. */
export const PATIENCE = 30_000;
/** The same for the system: five services, each with its migrations. */
const OPENING = 120_000;

export class System {
  #child;
  #browser;
  url;
  /** What pages complained of. */
  complaints = [];

  static async start() {
    const system = new System();
    try {
      system.url = await system.#open();
      // Root has no other way.
      const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
      system.#browser = await chromium.launch({ executablePath: programs.chromium, args });
      return system;
    } catch (error) {
      await system.stop();
      throw error;
    }
  }

  /** Starts the programs; where the page is. */
  #open() {
    const child = spawn(join(programs.programs, "stack"), ["--ephemeral", "--port-base", "0"], { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("the system has not opened")), OPENING);
      const ended = (error) => (clearTimeout(late), reject(error));
      createInterface({ input: child.stdout }).on("line", (line) => {
        const found = /^ *open +(http:.*)$/.exec(line);
        if (found) resolve((clearTimeout(late), found[1]));
      });
      child.once("error", ended);
      child.once("exit", (code) => ended(new Error(`the system ended with ${code}`)));
    });
  }

  async stop() {
    await this.#browser?.close();
    const { pid, exitCode, signalCode } = this.#child;
    // It never was, or has ended by itself.
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    const ended = new Promise((done) => this.#child.once("exit", done));
    this.#child.kill("SIGTERM");
    await ended;
  }

  /** Somebody with a browser of their own, who is not signed in. */
  async visitor(options = {}) {
    const context = await this.#browser.newContext(options);
    const tab = await context.newPage();
    tab.setDefaultTimeout(PATIENCE);
    tab.on("pageerror", (error) => this.complaints.push(String(error)));
    tab.on("console", (message) => message.type() === "error" && this.complaints.push(message.text()));
    await tab.goto(this.url);
    return tab;
  }

  /** The same, signed in as `vendor` or another of the demo accounts. */
  async person(name, options = {}) {
    const tab = await this.visitor(options);
    await tab.click(`[data-demo="${name}@example.com"]`);
    await shows(tab, "#socket", "connected as");
    return tab;
  }
}

/** Waits until this is in the text of that. */
export async function shows(tab, selector, text) {
  await tab.waitForFunction(([selector, text]) => document.querySelector(selector)?.textContent.includes(text), [selector, text]);
}

/** Pays, and waits until that is answered. */
export async function pay(tab, description, amount = "12.50") {
  await tab.fill("input[name=description]", description);
  await tab.fill("input[name=amount]", amount);
  await tab.evaluate(() => (document.querySelector("#pay-say").textContent = ""));
  await tab.click("#pay-go");
  await tab.waitForFunction(() => document.querySelector("#pay-say").textContent !== "");
}

/** The types of the events that are shown with this text, the oldest first. */
export async function events(tab, text) {
  return await tab.$$eval("#feed li", (items, text) => items.filter((item) => item.textContent.includes(text)).map((item) => item.querySelector(".type").textContent).reverse(), text);
}
