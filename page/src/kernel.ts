/** One model compiled to WebAssembly: arrays in, arrays out. The C text is that of the native portable kernel. */

import type { KernelFacts } from "./data.ts";

/** What an event does: state[target] += value, or input[target] = value. */
export const ADD = 0;
export const SET_INPUT = 1;

const MAX_STEPS = 200_000; // as library.py
const TASK_BYTES = 128;
const NO_MEMORY = "the kernel could not get the memory it needs: ask for fewer times or patients";

/** What a status of a run means and what to try next; 0 is done. */
export const ADVICE = [
  "done",
  "more steps than allowed: look for a rate that never settles",
  "the step shrank to nothing: a rate jumps or grows without bound; look at the states at that time",
  "a rate is not a number: a negative base of a fractional power, a division by 0 or a missing value",
]; // the kernel's further codes are of events in a model's own text, and a mechanism has none

/** Events of several subjects, (subject, event): sorted by time and padded with Infinity. */
export interface EventTable {
  count: number; // events of each subject
  time: Float64Array;
  action: Int32Array;
  target: Int32Array;
  value: Float64Array;
}

/** One batch: subjects that share the run's beginning, its end and the times looked at. */
export interface Task {
  subjects: number;
  start: number; // [h]
  end: number; // [h], not before the last time
  times: Float64Array; // ascending, not before `start`
  parameters: Float64Array; // one row for all, or one a subject
  initial: Float64Array | null; // states at the start, (subject, state); null: the model's own
  events: EventTable | null;
  outputs: Int32Array; // indices into KernelFacts.outputs
  relative: number;
  absolute: Float64Array; // tolerance of each state
}

/** Values (subject, time, output), last states (subject, state), and per subject its status and when it failed. */
export interface Solution {
  values: Float64Array;
  last: Float64Array;
  status: Int32Array;
  failTime: Float64Array;
}

interface Exports {
  memory: WebAssembly.Memory;
  reserve(bytes: number): number;
  mark(): number;
  release(mark: number): void;
  run_task(task: number): number;
}

// (module (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt))
const SIMD_MODULE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
];

/** Whether this browser can run the kernels: two lanes side by side need WebAssembly's SIMD (browsers since 2023). */
export function hasSimd(): boolean {
  return typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(SIMD_MODULE));
}

/** A loaded module and what its numbers mean. */
export class Kernel {
  readonly facts: KernelFacts;
  private readonly wasm: Exports;

  private constructor(facts: KernelFacts, wasm: Exports) {
    this.facts = facts;
    this.wasm = wasm;
  }

  /** Compile a module's bytes. */
  static async load(bytes: BufferSource, facts: KernelFacts): Promise<Kernel> {
    const { instance } = await WebAssembly.instantiate(bytes, {});
    return new Kernel(facts, instance.exports as unknown as Exports);
  }

  /** Integrate every subject; throws where memory runs out. A subject that fails has NaN from then on. */
  solve(task: Task): Solution {
    const mark = this.wasm.mark();
    try {
      return this.run(task);
    } finally {
      this.wasm.release(mark);
    }
  }

  private run(task: Task): Solution {
    const { subjects, events } = task;
    const states = this.facts.states.length;
    const sizes = [subjects * task.times.length * task.outputs.length, subjects * states, subjects];
    const at = this.reserve(TASK_BYTES);
    const [values, last, failTime] = sizes.map((size) => this.reserve(8 * size));
    const status = this.reserve(4 * 3 * subjects);
    // from here on the fields of `Task` in solver.h, in their order: long and pointers have 4 bytes
    const longs = [
      subjects,
      task.parameters.length > this.facts.parameters.length ? this.facts.parameters.length : 0,
      states,
      events?.count ?? 0,
      task.times.length,
      0,
      task.outputs.length,
      MAX_STEPS,
    ];
    const doubles = [task.start, task.end, task.relative, 0, Infinity];
    const pointers = [
      this.place(task.parameters),
      this.place(task.initial),
      this.place(events?.time),
      this.place(events?.value),
      this.place(task.times),
      this.place(task.absolute),
      this.place(events?.action),
      this.place(events?.target),
      this.place(task.outputs),
      values,
      last,
      failTime,
      status,
    ];
    const { buffer } = this.wasm.memory; // taken after the last `reserve`: growth makes a new one
    new Int32Array(buffer, at, longs.length).set(longs);
    new Float64Array(buffer, at + 4 * longs.length, doubles.length).set(doubles);
    new Uint32Array(buffer, at + 4 * longs.length + 8 * doubles.length, pointers.length).set(pointers);
    if (this.wasm.run_task(at)) throw new Error(NO_MEMORY);
    const result = this.wasm.memory.buffer;
    return {
      values: new Float64Array(result, values, sizes[0]).slice(),
      last: new Float64Array(result, last, sizes[1]).slice(),
      status: new Int32Array(result, status, 3 * subjects).filter((_, i) => i % 3 === 0),
      failTime: new Float64Array(result, failTime, subjects).slice(),
    };
  }

  private reserve(bytes: number): number {
    const at = bytes < 2 ** 32 ? this.wasm.reserve(bytes) >>> 0 : 0; // a larger number would arrive as a small one
    if (!at) throw new Error(NO_MEMORY);
    return at;
  }

  /** Address of a copy in the module's memory, 0 for nothing. */
  private place(array: Float64Array | Int32Array | null | undefined): number {
    if (!array) return 0;
    const at = this.reserve(array.byteLength);
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    new Uint8Array(this.wasm.memory.buffer, at, bytes.length).set(bytes);
    return at;
  }
}
