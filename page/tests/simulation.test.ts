import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Dose, Facts, Mechanism } from "../src/data.ts";
import { Simulator } from "../src/simulation.ts";
import { buildOral, type Oral } from "./oral.ts";

const oral = buildOral();
const skip = typeof oral === "string" && oral;
const TIMES = [-2, -1, 0, 1, 3, 24];

async function open(factors: Record<string, number[]> = {}): Promise<Simulator> {
  const { module, facts: kernel, row } = oral as Oral;
  const target = { state: "gut", input: "rate", fraction: 1, F: "availability", lag: "wait", duration: 0 };
  const drug = { title: "", nmolPerMg: 2, caveat: "", antagonist: false, routes: { po: [target] } };
  const facts = {
    tolerances: { relative: 1e-8, absolute: 1e-8 },
    drugs: { drug },
    dosing: { bodyweight: 70, availability: 0.5, wait: 0.5 },
    patients: { size: Object.values(factors)[0]?.length ?? 0, seed: 1, factors },
  } as unknown as Facts;
  const mechanism = { id: "oral", kernel, row } as unknown as Mechanism;
  return Simulator.open(facts, mechanism, gzipSync(module).toString("base64"));
}

function dose(changes: Partial<Dose> = {}): Dose {
  const plain = {
    drug: "drug",
    amount: 100,
    perKg: false,
    route: "po",
    time: 0,
    duration: 0,
    rate: 0,
    interval: 0,
    additional: 0,
  };
  return { ...plain, ...changes };
}

function near(found: ArrayLike<number>, expected: number[]): void {
  assert.equal(found.length, expected.length);
  expected.forEach((value, i) =>
    assert.ok(Math.abs(found[i] - value) < 1e-5 * value + 1e-7, `${found[i]} is not ${value}`),
  );
}

function gut(amount: number, from: number): number[] {
  return TIMES.map((t) => (t < from ? 0 : amount * Math.exp(-1.5 * (t - from))));
}

test("arms have curves of their own, whenever they begin", { skip }, async () => {
  const run = (await open()).run(
    [[dose()], [], [dose({ time: -1 })], [dose({ amount: 0 })], [dose({ time: 40 })]],
    TIMES,
    ["c", "gut"],
  );
  near(run.curve(0, "gut"), gut(100, 0.5));
  near(run.curve(2, "gut"), gut(100, -0.5));
  for (const arm of [1, 3, 4])
    near(
      run.curve(arm, "gut"),
      TIMES.map(() => 0),
    );
  assert.deepEqual([run.arms, run.patients, run.values.length, run.failures.length], [5, 1, 5 * 6 * 2, 0]);
  assert.deepEqual(run.times, TIMES);
  assert.deepEqual(run.curve(0, "c"), run.curve(0, "c", 0));
});

test("arms do not depend on one another", { skip }, async () => {
  const simulator = await open();
  const arms = [[dose({ time: -1 })], [dose()], [dose({ amount: 50 })]];
  const together = simulator.run(arms, TIMES, ["c"]);
  arms.forEach((arm, i) => assert.deepEqual(simulator.run([arm], TIMES, ["c"]).curve(0, "c"), together.curve(i, "c")));
});

test("patients differ by their factors, in rates, doses per kg, shares and lags", { skip }, async () => {
  const factors = { bodyweight: [1, 1, 1.5, 1], availability: [1, 1, 1, 0.4], wait: [1, 1, 1, 2], ka: [1, 2, 1, 1] };
  const simulator = await open(factors);
  const run = simulator.run([[dose({ perKg: true, amount: 2 })]], TIMES, ["gut"], { first: 1 });
  assert.equal(run.patients, 3);
  near(
    run.curve(0, "gut", 0),
    TIMES.map((t) => (t < 0.5 ? 0 : 140 * Math.exp(-3 * (t - 0.5)))),
  );
  near(run.curve(0, "gut", 1), gut(210, 0.5));
  near(run.curve(0, "gut", 2), gut(56, 1));
  const typical = simulator.run([[dose({ perKg: true, amount: 2 })]], TIMES, ["gut"]);
  near(typical.curve(0, "gut"), gut(140, 0.5));
});

test("a failure names its arm and its patient by its number among all", { skip }, async () => {
  const simulator = await open({ k: [1, 1, NaN] });
  const { failures } = simulator.run([[], [dose()]], TIMES, ["c"], { first: 1, count: 2 });
  assert.deepEqual(
    failures.map(({ arm, patient, status }) => [arm, patient, status]),
    [
      [0, 2, 3],
      [1, 2, 3],
    ],
  );
  assert.match(failures[0].advice, /not a number/);
  assert.equal(failures[1].time, -2);
});

test("what cannot be run is refused", { skip }, async () => {
  const simulator = await open({ k: [1, 1] });
  assert.throws(() => simulator.run([[]], [], ["c"]), /ascending/);
  assert.throws(() => simulator.run([[]], [1, 0], ["c"]), /ascending/);
  assert.throws(() => simulator.run([[]], [0, Infinity], ["c"]), /ascending/);
  assert.throws(() => simulator.run([[]], TIMES, ["d"]), /oral has no output "d"/);
  assert.throws(() => simulator.run([[]], TIMES, ["c"], { first: 1, count: 2 }), /there are 0 to 1/);
  assert.throws(() => simulator.run([[]], TIMES, ["c"]).curve(0, "gut"), /no output "gut"/);
});
