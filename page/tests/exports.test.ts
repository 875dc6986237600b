import assert from "node:assert/strict";
import { test } from "node:test";
import { curvesCsv, fileName } from "../src/exports.ts";
import { fold } from "../src/picture.ts";

const numbers = [0.1 + 0.2, 1e-300, -0, Number.MAX_VALUE, 5e-324, 12.5, 1 / 3, Math.PI];

test("every double of a CSV reads back to the same bits, in its column and arm", () => {
  const arm = (factor: number) => ({ one: Float64Array.from(numbers, (n) => n * factor), two: Float64Array.from(numbers.keys()) });
  const times = numbers.map((_, i) => i / 7);
  const text = curvesCsv({ times, scene: arm(1), without: null, none: arm(-1), failure: null }, ["two", "one", "absent"]);
  const [head, ...rows] = text.trimEnd().split("\n");
  assert.equal(head, "time_h,arm,two,one,absent");
  assert.equal(rows.length, 2 * numbers.length);
  rows.forEach((row, i) => {
    const [time, name, two, one, absent] = row.split(",");
    const k = i % numbers.length;
    assert.equal(name, i < numbers.length ? "scene" : "no_drug");
    assert.ok(Object.is(Number(time), times[k]) && Object.is(Number(two), k));
    assert.ok(Object.is(Number(one), numbers[k] * (i < numbers.length ? 1 : -1)));
    assert.equal(absent, "");
  });
});

test("an arm without the antagonist has its own rows", () => {
  const one = { x: Float64Array.of(1) };
  assert.deepEqual(curvesCsv({ times: [0], scene: one, without: { x: Float64Array.of(NaN) }, none: one, failure: null }, ["x"]).split("\n").slice(1, 4), ["0,scene,1", "0,without,NaN", "0,no_drug,1"]);
});

test("a file's name has no letter that a disk refuses", () => {
  assert.equal(fileName(["camp_crosstalk", "a/b: c", "", "naltrexone50"], "csv"), "camp_crosstalk_a-b-c_naltrexone50.csv");
  assert.equal(fileName([], "svg"), "antagony.svg");
});

test("words fold into lines", () => {
  assert.deepEqual(fold("one two three four", 9), ["one two", "three", "four"]);
});
