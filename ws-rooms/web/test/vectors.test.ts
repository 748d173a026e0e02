// `protocol/vectors`: what every implementation of the protocol must do.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { advice, Backoff } from "../src/backoff.js";
import { parse } from "../src/frames.js";
import { judge } from "../src/opening.js";
import { play, vectors } from "./support/script.js";
import { World } from "./support/world.js";

test("rooms", () => {
  const rooms = new World().client();
  for (const { room, valid } of vectors<{ room: string; valid: boolean }>("rooms.json")) {
    if (valid) rooms.on(room, () => {})();
    else assert.throws(() => rooms.on(room, () => {}), TypeError, room);
  }
});

test("closes", () => {
  for (const vector of vectors<{ code: number; advice: string }>("closes.json")) {
    assert.equal(advice(vector.code), vector.advice, String(vector.code));
  }
});

test("server frames", () => {
  for (const { frame, kind } of vectors<{ frame: string; kind: string }>("server_frames.json")) {
    if (kind === "invalid") assert.throws(() => parse(frame), frame);
    else assert.equal(parse(frame)?.type ?? "unknown", kind, frame);
  }
});

describe("backoff", () => {
  type Loss = { code: number; openMs?: number; retryAfterMs?: number; drawn: number; delayMs: number | null };
  for (const { name, losses } of vectors<{ name: string; losses: Loss[] }>("backoff.json")) {
    test(name, () => {
      let drawn = 0;
      const backoff = new Backoff(() => drawn);
      for (const loss of losses) {
        drawn = loss.drawn;
        assert.equal(backoff.next(loss.code, loss.openMs, loss.retryAfterMs) ?? null, loss.delayMs, JSON.stringify(loss));
      }
    });
  }
});

test("opening", () => {
  type Opening = { status: number | null; renewed: boolean; retryAfter?: string; drawn?: number };
  for (const { status, renewed, retryAfter, drawn, ...expected } of vectors<Opening>("opening.json")) {
    const verdict = judge(status ?? undefined, retryAfter ?? null, renewed, drawn ?? 0.5);
    assert.deepEqual(verdict, expected, JSON.stringify({ status, renewed, retryAfter }));
  }
});

for (const file of ["positions", "offline"]) {
  describe(file, () => {
    for (const script of vectors<{ name: string; steps: [] }>(`${file}.json`)) test(script.name, () => play(script));
  });
}
