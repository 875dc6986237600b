/** A small made-up case for tests; no number of it means anything. */

import type { Facts, Mechanism } from "../src/data.ts";

export const mechanism = {
  id: "first",
  title: "first rival",
  group: "one",
  edges: [
    { from: "block", to: "activity", sign: -1, parameter: "", note: "" },
    { from: "activity", to: "signal", sign: -1, parameter: "", note: "" },
    { from: "held", to: "tone", sign: -1, parameter: "", note: "" },
    { from: "tone", to: "brake", sign: -1, parameter: "", note: "" },
    { from: "brake", to: "signal", sign: -1, parameter: "", note: "" },
    { from: "signal", to: "score", sign: -1, parameter: "", note: "" },
  ],
  kernel: { outputs: ["block", "activity", "held", "tone", "brake", "signal", "score"] },
} as unknown as Mechanism;

const dose = { perKg: false, route: "po", duration: 0, rate: 0, interval: 0, additional: 0 };
const control = { label: "", unit: "mg", low: 0, high: 100, step: 5, allowed: null };

export const facts = {
  trial: { scale: "HAM-D17", max: 52, baseline: 25, bodyweight: 70 },
  outputs: {},
  nodes: {
    block: { output: "block", label: "block", kind: "share" },
    score: { output: "score", label: "score", kind: "points" },
  },
  tracks: [{ id: "score", title: "Score", outputs: ["score"], kind: "points" }],
  drugs: {
    lifter: { title: "lifter (iv)", antagonist: false },
    blocker: { title: "blocker", antagonist: true },
  },
  scenes: [
    {
      id: "alone",
      title: "lifter alone",
      until: 168,
      opens: 1,
      times: [-1, 0, 1, 24, 168],
      doses: [{ ...dose, drug: "lifter", amount: 0.5, time: 0 }],
      controls: [{ ...control, dose: 0, high: 1, step: 0.05 }],
      observed: [],
    },
    {
      id: "both",
      title: "both",
      until: 168,
      opens: 2,
      times: [-1, 0, 1, 24, 168],
      doses: [
        { ...dose, drug: "blocker", amount: 50, time: -0.75 },
        { ...dose, drug: "lifter", amount: 0.5, time: 0 },
      ],
      controls: [
        { ...control, dose: 0, allowed: [25, 50, 100] },
        { ...control, dose: 1, high: 1, step: 0.05 },
      ],
      observed: [],
    },
  ],
  mechanisms: [mechanism, { ...mechanism, id: "second rival/2" }],
} as unknown as Facts;

/** Numbers between 0 and 1, the same each time (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
