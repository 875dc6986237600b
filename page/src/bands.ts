/** Bands of virtual patients: between which values 90 % of them lie, gathered in slices so that no slider waits for them. */

import type { Dose } from "./data.ts";
import type { Run } from "./simulation.ts";

export interface Band {
  low: Float64Array;
  high: Float64Array;
}

interface Runner {
  run(arms: Dose[][], times: readonly number[], outputs: readonly string[], options?: { first?: number; count?: number }): Run;
}

/** Value at a share of sorted numbers, linear between neighbours (as numpy.quantile). */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const place = share * (sorted.length - 1);
  const index = Math.min(sorted.length - 2, Math.floor(place));
  if (sorted.length < 2) return sorted[0];
  return sorted[index] + (sorted[index + 1] - sorted[index]) * (place - index);
}

/** The work of one dose and mechanism; `step` does a slice and says whether more is left. */
export class Bands {
  readonly result: Record<string, Band> = {};
  failed = 0; // patients whose curve could not be computed; left out
  private first = 0;
  private slice = 4; // patients a slice; follows the machine's speed
  private readonly values: Float64Array[][]; // output, patient -> curve
  private runner: Runner;
  private doses: Dose[];
  private times: readonly number[];
  private outputs: readonly string[];
  private size: number;

  constructor(runner: Runner, doses: Dose[], times: readonly number[], outputs: readonly string[], size: number) {
    this.runner = runner;
    this.doses = doses;
    this.times = times;
    this.outputs = outputs;
    this.size = size;
    this.values = outputs.map(() => []);
  }

  /** Another slice of about `budget` ms. */
  step(budget: number, now: () => number = () => performance.now()): boolean {
    if (this.first < this.size) {
      const began = now();
      const count = Math.min(this.slice, this.size - this.first);
      const run = this.runner.run([this.doses], this.times, this.outputs, { first: this.first, count });
      for (let patient = 0; patient < count; patient++) this.gather(run, patient);
      this.first += count;
      const took = Math.max(0.1, now() - began);
      this.slice = Math.max(1, Math.min(64, Math.round((count * budget) / took)));
      return true;
    }
    const next = this.outputs.findIndex((output) => !(output in this.result));
    if (next >= 0) this.result[this.outputs[next]] = this.band(this.values[next]);
    return this.outputs.some((output) => !(output in this.result));
  }

  private gather(run: Run, patient: number): void {
    const curves = this.outputs.map((output) => run.curve(0, output, patient));
    if (curves.some((curve) => !curve.every(Number.isFinite))) this.failed++;
    else curves.forEach((curve, i) => this.values[i].push(curve));
  }

  private band(patients: Float64Array[]): Band {
    const low = new Float64Array(this.times.length).fill(NaN);
    const high = new Float64Array(this.times.length).fill(NaN);
    if (patients.length === 0) return { low, high };
    const column = new Float64Array(patients.length);
    for (let t = 0; t < this.times.length; t++) {
      for (let i = 0; i < patients.length; i++) column[i] = patients[i][t];
      column.sort();
      low[t] = quantile(column, 0.05);
      high[t] = quantile(column, 0.95);
    }
    return { low, high };
  }
}
