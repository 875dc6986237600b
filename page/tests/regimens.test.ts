import assert from "node:assert/strict";
import { test } from "node:test";
import { quantile, Bands } from "../src/bands.ts";
import { panelsOf, pointsOf } from "../src/curves.ts";
import type { Run } from "../src/simulation.ts";
import { allowedAmounts, antagonistOf, armsOf, drugEdges, sceneWithAntagonist, snap } from "../src/regimens.ts";
import { facts, mechanism } from "./example.ts";

const [alone, both] = facts.scenes;

test("the ghost leaves out the antagonist, and only beside another drug", () => {
  assert.equal(antagonistOf(facts, both), "blocker");
  assert.equal(antagonistOf(facts, alone), null);
  const arms = armsOf(facts, both, [50, 0.5]);
  assert.deepEqual(arms.scene.map((dose) => dose.drug), ["blocker", "lifter"]);
  assert.deepEqual(arms.without!.map((dose) => dose.drug), ["lifter"]);
  assert.deepEqual(arms.none, []);
  assert.deepEqual(armsOf(facts, both, [0, 0.5]).scene.map((dose) => dose.drug), ["lifter"]);
  assert.equal(armsOf(facts, alone, [0.5]).without, null);
});

test("the scene that adds an antagonist is found", () => {
  assert.equal(sceneWithAntagonist(facts, alone)?.id, "both");
  assert.equal(sceneWithAntagonist(facts, both), null);
});

test("doses snap, and what is none is refused", () => {
  assert.deepEqual(allowedAmounts(both.controls[0]), [0, 25, 50, 100]);
  assert.equal(snap(both.controls[0], 40), 50);
  assert.equal(snap(both.controls[1], 0.47), 0.45);
  assert.equal(snap(both.controls[1], 0), 0);
  for (const amount of [-1, 1.5, NaN, Infinity]) assert.equal(snap(both.controls[1], amount), null);
});

test("a drug moves what it moves without moving a cause of it", () => {
  const way = (ids: string[]) => new Map(ids.map((id) => [id, 1 as const]));
  const nodes = ["block", "activity", "signal", "score"];
  const found = drugEdges(mechanism.edges, nodes, [
    { drug: "lifter", directions: way(nodes), stirred: new Set(nodes) },
    { drug: "slow", directions: way(["score"]), stirred: new Set(["score"]) },
    { drug: "weak", directions: way(["signal"]), stirred: new Set(["activity", "signal"]) },
  ]);
  assert.deepEqual(found, [
    { drug: "lifter", to: "block", sign: 1 },
    { drug: "slow", to: "score", sign: 1 },
  ]);
});

test("published changes hang on the baseline, contrasts on the arm without drugs", () => {
  const base = { output: "score", time: 24, factor: 0.5, study: "", text: "", source: "" };
  const scene = { ...alone, observed: [{ ...base, kind: "change", value: -10, low: -12, high: -8 }, { ...base, kind: "contrast", value: -6, low: null, high: null }, { ...base, kind: "value", value: 3, low: null, high: null }] } as typeof alone;
  const curve = { score: Float64Array.of(25, 25, 24, 20, 20) };
  const curves = { times: alone.times, scene: curve, without: null, none: curve, failure: null };
  const points = pointsOf(facts, scene, ["score"], curves);
  assert.deepEqual(points.map(({ value, low, high }) => [value, low, high]), [[20, 19, 21], [17, null, null], [3, null, null]]);
  assert.equal(panelsOf(facts, scene, [curves], false, null)[0].points.length, 0);
  const [panel] = panelsOf(facts, scene, [curves], true, null);
  assert.ok(panel.domain[0] <= 3 && panel.domain[1] >= 25);
});

test("quantiles are numpy's", () => {
  assert.equal(quantile([1, 2, 3, 4, 5], 0.05), 1.2);
  assert.equal(quantile([7], 0.95), 7);
});

test("bands take every patient once, in slices, and leave out who failed", () => {
  const asked: number[] = [];
  const runner = {
    run: (_arms: unknown, times: readonly number[], _outputs: unknown, options?: { first?: number; count?: number }): Run => {
      const { first = 0, count = 0 } = options ?? {};
      for (let i = 0; i < count; i++) asked.push(first + i);
      return { curve: (_arm: number, _output: string, patient = 0) => Float64Array.from(times, () => (first + patient === 3 ? NaN : first + patient)) } as unknown as Run;
    },
  };
  const work = new Bands(runner, [], [0, 1], ["x", "y"], 21);
  while (work.step(5));
  assert.deepEqual(asked, [...Array(21).keys()]);
  assert.equal(work.failed, 1);
  const left = [...Array(21).keys()].filter((i) => i !== 3);
  assert.equal(work.result.x.low[1], quantile(left, 0.05));
  assert.equal(work.result.y.high[0], quantile(left, 0.95));
});
