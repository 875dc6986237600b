import assert from "node:assert/strict";
import { test } from "node:test";
import { between, kneeOf, linear, linePath, moment, nice, settle, shortTime, spread, ticks, timeScale, timeTicks, valueAt } from "../src/scales.ts";

test("time is bent by asinh and comes back", () => {
  const scale = timeScale([-1, 168], [40, 440], 0.8);
  assert.equal(scale(-1), 40);
  assert.equal(scale(168), 440);
  for (const time of [-0.75, 0, 0.1, 1, 24, 100]) assert.ok(Math.abs(scale.invert(scale(time)) - time) < 1e-9);
  const share = (scale(24) - 40) / 400;
  assert.ok(Math.abs(share - (Math.asinh(24 / 0.8) + Math.asinh(1 / 0.8)) / (Math.asinh(168 / 0.8) + Math.asinh(1 / 0.8))) < 1e-12);
});

test("ticks of time never crowd, whatever the width and the scene", () => {
  for (const until of [24, 168, 1008]) {
    for (const width of [200, 330, 600]) {
      const scale = timeScale([-1, until], [0, width], kneeOf(until));
      const places = timeTicks(scale, [-1, until], 40);
      assert.ok(places.includes(0) && places.length >= 3);
      for (let i = 1; i < places.length; i++) assert.ok(scale(places[i]) - scale(places[i - 1]) >= 40);
    }
  }
});

test("over weeks the days spread: day 7 lies in the first half", () => {
  const scale = timeScale([-1, 1008], [0, 1], kneeOf(1008));
  assert.ok(scale(168) < 0.7 && scale(24) < 0.3);
});

test("round numbers", () => {
  assert.deepEqual(ticks([0, 1], 2), [0, 0.5, 1]);
  assert.deepEqual(ticks([9.8, 26.1], 3), [10, 15, 20, 25]);
  assert.deepEqual(nice([11.6, 25.5], 4), [10, 30]);
  assert.deepEqual(nice([0, 0.3], 3), [0, 0.3]);
});

test("times in words", () => {
  assert.deepEqual([0, 1, -0.75, 24, 168, 0.5].map(shortTime), ["0", "1 h", "-45 min", "1 d", "7 d", "30 min"]);
  assert.equal(moment(1), "1 h after");
  assert.equal(moment(-0.75), "45 min before");
  assert.equal(moment(1.968), "2 h after");
  assert.equal(moment(24), "day 1");
});

test("a value between two times", () => {
  assert.deepEqual(between([0, 1, 3], 2), [1, 0.5]);
  assert.deepEqual(between([0, 1, 3], 9), [1, 1]);
  assert.equal(valueAt([0, 1, 3], [5, 7, 11], 2), 9);
  assert.equal(valueAt([0, 1, 3], [5, 7, 11], -4), 5);
  assert.equal(valueAt([0, 1, 3], [5, 7, 11], 4), 11);
});

test("a line breaks where there is no value", () => {
  const same = linear([0, 10], [0, 10]);
  assert.equal(linePath([0, 1, 2, 3], [1, NaN, 2, 3], same), "M0,1M2,2L3,3");
});

test("a line leaves out points on its way, and no curve by more than can be seen", () => {
  const same = linear([0, 1], [0, 1]);
  assert.equal(linePath([0, 1, 2, 3, 4], [2, 2, 2, 2, 5], same), "M0,2L3,2L4,5");
  assert.equal(linePath([0, 1, 1, 2], [0, 0, 7, 7], same), "M0,0L1,0L1,7L2,7");
  const across = Array.from({ length: 500 }, (_, i) => i);
  const curve = across.map((x) => 40 + 30 * Math.sin(x / 25) * Math.exp(-x / 200));
  const drawn = [...linePath(across, curve, same).matchAll(/(-?[\d.]+),(-?[\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)]);
  assert.ok(drawn.length < 150 && drawn.length > 20, `${drawn.length} points`);
  const off = across.map((x) => Math.abs(valueAt(drawn.map(([at]) => at), drawn.map(([, height]) => height), x) - curve[x]));
  assert.ok(Math.max(...off) < 0.15 + 0.06, `${Math.max(...off)} px`);
});

test("labels keep apart, stay within and keep their order", () => {
  const placed = spread([10, 10, 12, 90, 91], 15, [0, 100]);
  const sorted = [...placed].sort((a, b) => a - b);
  for (let i = 1; i < sorted.length; i++) assert.ok(sorted[i] - sorted[i - 1] >= 15 - 1e-9);
  assert.ok(sorted[0] >= 0 && sorted[4] <= 100);
  assert.ok(placed[0] < placed[2] && placed[2] < placed[3]);
});

test("what has room is not moved", () => {
  assert.deepEqual(settle([10, 50, 90], [20, 20, 20], [0, 100]), [10, 50, 90]);
});
