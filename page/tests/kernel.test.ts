import assert from "node:assert/strict";
import { test } from "node:test";
import { ADD, type EventTable, hasSimd, Kernel, SET_INPUT, type Task } from "../src/kernel.ts";
import { buildOral, type Oral } from "./oral.ts";

const oral = buildOral();
const skip = typeof oral === "string" && oral;

async function load(): Promise<[Kernel, (changes: Partial<Task>) => Task, Oral]> {
  const { module, facts, row } = oral as Oral;
  const plain: Task = {
    subjects: 1,
    start: 0,
    end: 24,
    times: Float64Array.of(0, 1, 2, 24),
    parameters: Float64Array.from(row),
    initial: null,
    events: null,
    outputs: Int32Array.of(facts.outputs.indexOf("c"), facts.outputs.indexOf("gut")),
    relative: 1e-8,
    absolute: Float64Array.from(facts.atol),
  };
  return [await Kernel.load(module, facts), (changes) => ({ ...plain, ...changes }), oral as Oral];
}

/** One event a subject. */
function events(time: number[], action: number, target: number, value: number[]): EventTable {
  const whole = (n: number) => new Int32Array(time.length).fill(n);
  return {
    count: 1,
    time: Float64Array.from(time),
    action: whole(action),
    target: whole(target),
    value: Float64Array.from(value),
  };
}

/** Concentration of an oral dose of 100 at 0 with ka 1.5, k 0.05, volume 20. */
function afterDose(t: number): number {
  return ((100 * 1.5) / (20 * (1.5 - 0.05))) * (Math.exp(-0.05 * t) - Math.exp(-1.5 * t));
}

function near(found: number, expected: number): void {
  assert.ok(Math.abs(found - expected) <= 1e-6 * Math.abs(expected) + 1e-7, `${found} is not ${expected}`);
}

test("node has SIMD, and a validator that refuses it is heard", (t) => {
  assert.equal(hasSimd(), true);
  t.mock.method(WebAssembly, "validate", () => false);
  assert.equal(hasSimd(), false);
});

test("a dose follows its closed form, and a value at its time is the value after it", { skip }, async () => {
  const [kernel, task] = await load();
  const { values, status, failTime } = kernel.solve(task({ events: events([0], ADD, 0, [100]) }));
  [0, 1, 2, 24].forEach((t, i) => {
    near(values[2 * i], afterDose(t));
    near(values[2 * i + 1], 100 * Math.exp(-1.5 * t));
  });
  assert.deepEqual([...status], [0]);
  assert.ok(Number.isNaN(failTime[0]));
});

test("an input runs until it is set anew", { skip }, async () => {
  const [kernel, task] = await load();
  const { values, last } = kernel.solve(task({ events: events([1], SET_INPUT, 0, [3]) }));
  near(values[2], 0);
  near(values[4], (3 / 0.05 / 20) * (1 - Math.exp(-0.05)));
  near(last[1], (3 / 0.05) * (1 - Math.exp(-0.05 * 23)));
});

test("a run may begin from given states, one row for each subject", { skip }, async () => {
  const [kernel, task] = await load();
  const initial = Float64Array.of(0, 20, 0, 40, 0, 60);
  const { values } = kernel.solve(task({ subjects: 3, initial, times: Float64Array.of(2), end: 2 }));
  [1, 2, 3].forEach((c, i) => near(values[2 * i], c * Math.exp(-0.1)));
});

test("subjects have their own numbers whatever the batch, and memory grows where it must", { skip }, async () => {
  const [kernel, task, { facts, row }] = await load();
  const subjects = 2000;
  const k = facts.parameters.indexOf("k");
  const rows = Array.from({ length: subjects }, (_, i) =>
    row.map((value, j) => (j === k ? value * (1 + i / 500) : value)),
  );
  const amounts = rows.map((_, i) => 50 + i);
  const zeros = amounts.map(() => 0);
  const times = Float64Array.from({ length: 60 }, (_, i) => i / 2);
  const shared = { times, end: 48 };
  const all = kernel.solve(
    task({ ...shared, subjects, parameters: Float64Array.from(rows.flat()), events: events(zeros, ADD, 0, amounts) }),
  );
  for (const i of [0, 1, 777, subjects - 1]) {
    const one = task({ ...shared, parameters: Float64Array.from(rows[i]), events: events([0], ADD, 0, [amounts[i]]) });
    const alone = kernel.solve(one);
    assert.deepEqual(alone.values, all.values.slice(i * 120, (i + 1) * 120));
    assert.deepEqual(alone.last, all.last.slice(2 * i, 2 * i + 2));
    assert.deepEqual(kernel.solve(one), alone);
  }
  assert.notDeepEqual(all.values.slice(0, 120), all.values.slice(120, 240));
});

test("every call gives its memory back", { skip }, async (t) => {
  const instances: WebAssembly.Instance[] = [];
  const instantiate = WebAssembly.instantiate as (
    bytes: BufferSource,
  ) => Promise<WebAssembly.WebAssemblyInstantiatedSource>;
  t.mock.method(WebAssembly, "instantiate", async (bytes: BufferSource) => {
    const loaded = await instantiate(bytes);
    instances.push(loaded.instance);
    return loaded;
  });
  const [kernel, task] = await load();
  const { memory, mark } = instances[0].exports as unknown as { memory: WebAssembly.Memory; mark(): number };
  const before = mark();
  kernel.solve(task({}));
  const size = memory.buffer.byteLength;
  for (let i = 0; i < 500; i++) kernel.solve(task({}));
  assert.equal(mark(), before);
  assert.equal(memory.buffer.byteLength, size);
  for (const subjects of [2 ** 26 - 2048, 2 ** 26, 2 ** 40])
    // just below and above 4 GB of values
    assert.throws(() => kernel.solve(task({ subjects })), /memory it needs/);
  assert.equal(mark(), before);
});

test("a subject that fails has NaN, a status and a time, and leaves its neighbour alone", { skip }, async () => {
  const [kernel, task, { facts, row }] = await load();
  const broken = row.map((value, i) => (facts.parameters[i] === "k" ? NaN : value));
  const dose = events([0, 0], ADD, 0, [100, 100]);
  const both = kernel.solve(task({ subjects: 2, parameters: Float64Array.from([...broken, ...row]), events: dose }));
  const alone = kernel.solve(task({ events: events([0], ADD, 0, [100]) }));
  assert.deepEqual([...both.status], [3, 0]);
  assert.equal(both.failTime[0], 0);
  assert.ok(Number.isNaN(both.values[2]));
  assert.deepEqual(both.values.slice(8), alone.values);
});
