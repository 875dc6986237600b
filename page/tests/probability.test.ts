import assert from "node:assert/strict";
import { test } from "node:test";
import { barOf, percents, rangeOver } from "../src/probability.ts";

test("a probability is written as its range over the priors", () => {
  const cases: [number, number, string][] = [
    [0.45, 0.688, "45 to 69 %"],
    [0.348, 0.352, "35 %"],
    [0.036, 0.124, "4 to 12 %"],
    [0, 0.0002, "<1 %"],
    [0.004, 0.026, "<1 to 3 %"],
    [0.98, 0.997, "98 to >99 %"],
    [1, 1, "100 %"],
  ];
  for (const [low, high, text] of cases) assert.equal(percents({ low, high }), text);
});

test("its bar spans the range, can be seen, and stays on the track", () => {
  const wide = barOf({ low: 0.45, high: 0.69 });
  assert.ok(Math.abs(wide.from - 45) < 1e-9 && Math.abs(wide.length - 24) < 1e-9);
  for (const share of [0, 0.3, 0.999, 1]) {
    const { from, length } = barOf({ low: share, high: share });
    assert.ok(length >= 1.5 && from >= 0 && from + length <= 100);
  }
});

test("one prior is no range", () => {
  assert.equal(rangeOver(3), "range over 3 stated priors");
  assert.equal(rangeOver(1), "under one stated prior");
});
