// Components without a browser, around a client whose server is scripted.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock } from "node:test";

import { act, createElement, type ReactElement, StrictMode } from "react";
import { createRoot, type Root } from "test-renderer";

import type { Rooms } from "../../src/index.js";
import { RoomsProvider } from "../../src/react/index.js";
import { opened, settled } from "../support/world.js";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

/** What React complains of, for instance of a snapshot that is another one each time. */
const complaints: unknown[][] = [];
let roots: Root[] = [];

/** Timers of the hooks' own stand still until they are moved, and React has nothing to complain of. */
export function guarded(): void {
  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout"] });
    mock.method(console, "error", (...complaint: unknown[]) => {
      // Node speaks here too, of its clocks.
      if (!String(complaint[0]).includes("ExperimentalWarning")) complaints.push(complaint);
    });
  });
  afterEach(async () => {
    await act(async () => roots.forEach((root) => root.unmount()));
    roots = [];
    mock.timers.reset();
    mock.restoreAll();
    assert.deepEqual(complaints.splice(0), []);
  });
}

/** Renders below a provider. */
export async function mount(rooms: Rooms, element: ReactElement, strict = false): Promise<Root> {
  const root = createRoot();
  roots.push(root);
  await render(root, rooms, element, strict);
  return root;
}

export async function render(root: Root, rooms: Rooms, element: ReactElement | null, strict = false): Promise<void> {
  const below = createElement(RoomsProvider, { rooms, children: element });
  await act(async () => root.render(strict ? createElement(StrictMode, null, below) : below));
}

/** Lets something happen, and React with it. */
export async function happens(what: () => unknown): Promise<void> {
  await act(async () => {
    await what();
    await settled();
  });
}

/** Moves the clocks, the client's and ours. */
export async function later({ world }: Pick<Awaited<ReturnType<typeof opened>>, "world">, ms: number): Promise<void> {
  await happens(async () => {
    mock.timers.tick(ms);
    await world.advance(ms);
  });
}

/** All that is shown, as text. */
export function shown(root: Root): string {
  const text = (node: unknown): string => {
    if (typeof node === "string") return node;
    return (node as { children: unknown[] }).children.map(text).join("");
  };
  return text(root.container);
}

export { opened, settled };
