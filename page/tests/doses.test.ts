import assert from "node:assert/strict";
import { test } from "node:test";
import type { Dose, Drug, Target } from "../src/data.ts";
import { lowerDoses, placeDoses, RegimenError } from "../src/doses.ts";
import { ADD, SET_INPUT } from "../src/kernel.ts";

const STATES = ["gut", "blood"];
const INPUTS = ["gut_in", "blood_in"];
const VALUES: Record<string, number> = { bodyweight: 70, lag: 0.25, share: 0.4, pace: 2 };

function target(changes: Partial<Target> = {}): Target {
  return { state: "blood", input: "blood_in", fraction: 1, F: 1, lag: 0, duration: 0, ...changes };
}

const TABLE = { doses: [28, 56, 84], values: [0.5, 0.25, 0.2] };
const routes = {
  iv: [target()],
  po: [target({ state: "gut", input: "gut_in", F: 0.5, lag: "lag" })],
  nasal: [target({ fraction: TABLE }), target({ state: "gut", input: "gut_in", fraction: "share", duration: "pace" })],
  lost: [target({ state: "elsewhere" })],
  astray: [target({ F: "unknown" })],
};
const DRUGS: Record<string, Drug> = { drug: { title: "", nmolPerMg: 10, caveat: "", antagonist: false, routes } };

function dose(changes: Partial<Dose> = {}): Dose {
  const plain = {
    drug: "drug",
    amount: 3,
    perKg: false,
    route: "iv",
    time: 0,
    duration: 0,
    rate: 0,
    interval: 0,
    additional: 0,
  };
  return { ...plain, ...changes };
}

/** Events as rows: time, action, target, value. */
function lowered(...doses: Dose[]): number[][] {
  const events = lowerDoses(
    placeDoses(doses, DRUGS, (id) => VALUES[id]),
    STATES,
    INPUTS,
  );
  return events.map(({ time, action, target, value }) => [time, action, target, value]);
}

test("a dose enters its state, per kg times the body's weight", () => {
  assert.deepEqual(lowered(dose()), [[0, ADD, 1, 30]]);
  assert.deepEqual(lowered(dose({ perKg: true })), [[0, ADD, 1, 2100]]);
});

test("a lag delays and F lessens a dose", () => {
  assert.deepEqual(lowered(dose({ route: "po", time: 1 })), [[1.25, ADD, 0, 15]]);
});

test("an infusion runs by duration or by rate", () => {
  assert.deepEqual(lowered(dose({ duration: 2 })), [
    [0, SET_INPUT, 1, 15],
    [2, SET_INPUT, 1, 0],
  ]);
  assert.deepEqual(lowered(dose({ rate: 6 })), [
    [0, SET_INPUT, 1, 60],
    [0.5, SET_INPUT, 1, 0],
  ]);
});

test("a table by dose is linear between its doses and unknown outside them", () => {
  const [[, , , added], ...infused] = lowered(dose({ route: "nasal", amount: 42 })).sort((a, b) => a[1] - b[1]);
  assert.equal(added, 42 * 10 * 0.375);
  assert.deepEqual(infused, [
    [0, SET_INPUT, 0, (42 * 10 * 0.4) / 2],
    [2, SET_INPUT, 0, 0],
  ]);
  for (const [amount, share] of [
    [28, 0.5],
    [84, 0.2],
  ])
    assert.ok(lowered(dose({ route: "nasal", amount })).some((event) => event[3] === amount * (10 * share)));
  for (const amount of [27.9, 84.1])
    assert.throws(
      () => lowered(dose({ route: "nasal", amount })),
      /drug .* nasal: .* outside the known doses 28 to 84 mg/,
    );
});

test("further doses follow at the interval", () => {
  assert.deepEqual(
    lowered(dose({ interval: 24, additional: 2 })).map(([time]) => time),
    [0, 24, 48],
  );
});

test("overlapping infusions add up, and exactly nothing is left when all have ended", () => {
  const events = lowered(
    dose({ amount: 0.1, duration: 2 }),
    dose({ amount: 0.7, time: 1, duration: 2 }),
    dose({ amount: 0.3, time: 1, duration: 1 }),
  );
  assert.deepEqual(
    events.map(([time]) => time),
    [0, 1, 2, 3],
  );
  assert.equal(events.at(-1)?.[3], 0);
  assert.ok(Math.abs(events[1][3] - (0.5 + 3.5 + 3)) < 1e-12);
});

test("an infusion that another takes up at once leaves no gap, and an equal one no event", () => {
  const third = 1 / 3;
  assert.deepEqual(lowered(dose({ amount: third, duration: third, interval: third, additional: 2 })), [
    [0, SET_INPUT, 1, 10],
    [3 * third, SET_INPUT, 1, 0],
  ]);
});

test("times closer than a billionth of an hour are one, in the written order: inputs, then amounts by target", () => {
  const events = lowered(
    dose({ time: 1 + 8e-10 }),
    dose({ route: "po", time: 0.75 + 4e-10 }),
    dose({ time: 1, duration: 1 }),
  );
  assert.deepEqual(
    events.map(([time, action, index]) => [time, action, index]),
    [
      [1, SET_INPUT, 1],
      [1, ADD, 0],
      [1, ADD, 1],
      [2, SET_INPUT, 1],
    ],
  );
});

test("the order of doses does not matter", () => {
  const doses = [
    dose(),
    dose({ route: "po" }),
    dose({ duration: 1 }),
    dose({ duration: 2 }),
    dose({ rate: 7, amount: 5 }),
  ];
  assert.deepEqual(lowered(...doses), lowered(...doses.toReversed()));
});

test("a dose of nothing is no dose, outside a table too", () => {
  assert.deepEqual(
    lowered(dose({ amount: 0 }), dose({ amount: 0, route: "nasal" }), dose({ amount: 0, duration: 1 })),
    [],
  );
});

test("what cannot be given is refused by name", () => {
  const cases: [Partial<Dose>, RegExp][] = [
    [{ drug: "other" }, /unknown drug "other"; there are drug/],
    [{ route: "im" }, /no route "im"; there are iv, po, nasal/],
    [{ amount: NaN }, /amount is not finite/],
    [{ amount: -1 }, /amount -1 is below 0/],
    [{ interval: 1, additional: 0.5 }, /whole number/],
    [{ additional: 1 }, /interval above 0/],
    [{ duration: 1, rate: 1 }, /not both/],
    [{ route: "nasal", amount: 28, duration: 1 }, /own pace/],
    [{ route: "lost" }, /no state "elsewhere"/],
    [{ route: "astray" }, /no value for the parameter "unknown"/],
    [{ steady_state: 1 } as Partial<Dose>, /neither steady states nor resets/],
    [{ reset: true } as Partial<Dose>, /neither steady states nor resets/],
  ];
  for (const [changes, message] of cases)
    assert.throws(
      () => lowered(dose(changes)),
      (error) => error instanceof RegimenError && message.test(error.message),
    );
  assert.throws(() => placeDoses([dose({ perKg: true })], DRUGS, () => undefined), /bodyweight/);
});
