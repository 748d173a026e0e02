// A browser, and a server whose link can be cut and silenced (ws-rooms/examples/bed.rs).

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page as Tab } from "playwright-core";
import { createElement } from "react";
import { renderToString } from "react-dom/server";

import { App, make } from "./app.js";

/** Where `cargo dev test` says that they are. */
export const programs = {
  chromium: process.env["TRAMLINE_TEST_CHROMIUM"],
  examples: process.env["TRAMLINE_TEST_EXAMPLES"],
};

/** Why the tests cannot run, if so; where they must, that is a failure. */
export function missing(): string | false {
  const names = Object.entries(programs).flatMap(([name, path]) => (path ? [] : [name]));
  if (names.length === 0) return false;
  assert.notEqual(process.env["TRAMLINE_TEST_ENGINES"], "required", `not named: ${names.join(", ")}`);
  return `SKIPPED (no ${names.join(", ")}): run \`cargo dev test\``;
}

/** Longer than anything here takes on a busy machine; what does not come until then does not come. */
const PATIENCE = 30_000;

export class Bed {
  readonly #child: ChildProcess;
  readonly #urls: { readonly page: string; readonly control: string };
  readonly #browser: Browser;
  /** What pages complained of. */
  readonly complaints: string[] = [];

  private constructor(child: ChildProcess, urls: { page: string; control: string }, browser: Browser) {
    this.#child = child;
    this.#urls = urls;
    this.#browser = browser;
  }

  static async start(): Promise<Bed> {
    const files = fileURLToPath(new URL("../../browser/", import.meta.url));
    mkdirSync(files, { recursive: true });
    await build({
      entryPoints: [fileURLToPath(new URL("./page.js", import.meta.url))],
      outfile: join(files, "page.js"),
      bundle: true,
      format: "esm",
      // React's complaints are wanted.
      define: { "process.env.NODE_ENV": '"development"' },
    });
    const rendered = renderToString(createElement(App, make({ credential: () => null })));
    writeFileSync(
      join(files, "index.html"),
      `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="app">${rendered}</div><script type="module" src="/page.js"></script>`,
    );
    const child = spawn(join(programs.examples!, "bed"), [files], { stdio: ["pipe", "pipe", "inherit"] });
    const line = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout! }).once("line", resolve);
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the bed ended with ${code}`)));
    });
    // Root has no other way.
    const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
    const browser = await chromium.launch({ executablePath: programs.chromium!, args });
    return new Bed(child, JSON.parse(line) as { page: string; control: string }, browser);
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    const ended = new Promise((done) => this.#child.once("exit", done));
    this.#child.stdin!.end();
    await ended;
  }

  /** Somebody with a browser of their own. */
  person(): Promise<BrowserContext> {
    return this.#browser.newContext();
  }

  /** Opens the page. */
  async open(person: BrowserContext, tokens: string, node = 0, before?: (tab: Tab) => void): Promise<Tab> {
    const tab = await person.newPage();
    tab.setDefaultTimeout(PATIENCE);
    tab.on("pageerror", (error) => this.complaints.push(String(error)));
    tab.on("console", (message) => {
      // The browser tells of every connection that fails; those are wanted here.
      if (message.type() === "error" && !/WebSocket|Failed to load resource/.test(message.text())) this.complaints.push(message.text());
    });
    before?.(tab);
    await tab.goto(`${this.#urls.page}/index.html?tokens=${tokens}&node=${node}`);
    return tab;
  }

  /** Asks the server for something; how is told in `examples/bed/control.rs`. */
  async ask(what: string, object: object = {}): Promise<void> {
    const answer = await fetch(this.#urls.control + what, { method: "POST", body: JSON.stringify(object) });
    assert.equal(answer.status, 200, `${what}: ${await answer.text()}`);
  }

  async publish(id: string, rooms = ["payment:1"], data: unknown = null): Promise<void> {
    await this.ask("/publish", { id, rooms, data });
  }
}

interface Devtools {
  send(method: string, params: object): Promise<unknown>;
}

/**
 * Freezes a tab in the background, as browsers do with tabs that nobody looks at; returns how to come back to it.
 *
 * No page that is visible is ever frozen, and Playwright keeps each visible by a session of its own, which has no public
 * name: with another version look for it there (`package.json` names this one exactly).
 */
export async function freeze(tab: Tab): Promise<() => Promise<void>> {
  const inner = tab as unknown as {
    _connection: { toImpl(tab: Tab): { delegate: { _mainFrameSession: { _client: Devtools } } } };
  };
  const devtools = inner._connection.toImpl(tab).delegate._mainFrameSession._client;
  await devtools.send("Emulation.setFocusEmulationEnabled", { enabled: false });
  const other = await tab.context().newPage();
  await other.bringToFront();
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  return async () => {
    await devtools.send("Page.setWebLifecycleState", { state: "active" });
    await other.close();
    await tab.bringToFront();
  };
}

/** Waits until this is shown. */
export async function shows(tab: Tab, id: string, text: string): Promise<void> {
  await tab.waitForFunction(([id, text]) => document.querySelector(`#${id}`)?.textContent === text, [id, text] as const);
}

/** Waits until so many events were heard, and looks at them. */
export async function hears(tab: Tab, ...ids: string[]): Promise<void> {
  await tab.waitForFunction((most) => page.heard.length >= most, ids.length);
  assert.deepEqual(await tab.evaluate(() => page.heard), ids);
}
