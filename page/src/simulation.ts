/** One call for every chart: arms and times in, curves out, bit for bit those of simulation.py with `portable=True`. */

import { type Dose, type Facts, inflate, type Mechanism } from "./data.ts";
import { type Event, lowerDoses, placeDoses } from "./doses.ts";
import { ADVICE, type EventTable, Kernel, type Solution } from "./kernel.ts";

export interface Failure {
  arm: number;
  patient: number;
  time: number; // [h]
  status: number;
  advice: string;
}

/** Values (arm, patient, time, output); a patient that failed has NaN from then on. */
export interface Run {
  times: number[];
  arms: number;
  patients: number;
  outputs: string[];
  values: Float64Array;
  failures: Failure[];
  /** One output of one patient over time; patients are counted from 0 within the run. */
  curve(arm: number, output: string, patient?: number): Float64Array;
}

/** Which patients of Facts.patients a run takes: from the first on, and all the others unless counted. */
export interface Choice {
  first?: number;
  count?: number;
}

/** A stretch of time between two stops of all its subjects. */
interface Stretch {
  start: number;
  end: number;
  times: Float64Array;
}

/** One mechanism, ready to run. */
export class Simulator {
  readonly mechanism: Mechanism;
  private readonly facts: Facts;
  private readonly kernel: Kernel;
  private readonly row: Float64Array; // of the typical patient
  private readonly atol: Float64Array;
  private readonly columns: Map<string, number>;

  private constructor(facts: Facts, mechanism: Mechanism, kernel: Kernel) {
    this.mechanism = mechanism;
    this.facts = facts;
    this.kernel = kernel;
    this.row = Float64Array.from(mechanism.row);
    this.atol = Float64Array.from(mechanism.kernel.atol);
    this.columns = new Map(mechanism.kernel.parameters.map((id, i) => [id, i]));
  }

  /** Load a mechanism's module, given as base64 of gzip of its bytes. */
  static async open(facts: Facts, mechanism: Mechanism, packed: string): Promise<Simulator> {
    return new Simulator(facts, mechanism, await Kernel.load(await inflate(packed), mechanism.kernel));
  }

  /** Run arms over times [h, ascending]: the typical patient, or with a choice those of Facts.patients.
   *
   * An arm starts at its first dose or at the first time, whichever is earlier; a value at the time of a dose is the
   * value after it. Throws RegimenError for doses that cannot be given.
   */
  run(arms: Dose[][], times: readonly number[], outputs: readonly string[], options?: Choice): Run {
    const moments = checkTimes(times);
    const which = Int32Array.from(outputs, (name) => this.output(name));
    const patients = this.chosen(options);
    const rows = patients.map((patient) => this.parameters(patient));
    const events = arms.map((doses) => patients.map((patient, k) => this.events(doses, rows[k], patient)));
    const size = moments.length * outputs.length; // of one patient in one arm
    const values = new Float64Array(arms.length * patients.length * size);
    const failures: Failure[] = [];
    for (const [start, group] of armsByStart(arms, moments[0])) {
      const early = moments.filter((time) => time < start);
      const late = moments.subarray(early.length);
      const end = Math.max(moments[moments.length - 1], start);
      const before =
        moments[0] < start ? this.solve({ start: moments[0], end: start, times: early }, rows, which) : null;
      const given = group.flatMap((arm) => events[arm]);
      const everyone = group.flatMap(() => rows);
      const after = this.solve({ start, end, times: late }, everyone, which, given, before?.last);
      group.forEach((arm, g) => {
        patients.forEach((patient, k) => {
          const at = (arm * patients.length + k) * size;
          if (before) values.set(part(before.values, k, patients.length), at);
          const subject = g * patients.length + k;
          values.set(part(after.values, subject, everyone.length), at + early.length * outputs.length);
          const lost = (before && ending(before, k)) ?? ending(after, subject);
          if (lost) failures.push({ arm, patient: patient ?? 0, ...lost });
        });
      });
    }
    failures.sort((a, b) => a.arm - b.arm || a.patient - b.patient);
    return described({
      times: [...times],
      arms: arms.length,
      patients: patients.length,
      outputs: [...outputs],
      values,
      failures,
    });
  }

  private output(name: string): number {
    const i = this.mechanism.kernel.outputs.indexOf(name);
    if (i < 0) throw new Error(`${this.mechanism.id} has no output "${name}"`);
    return i;
  }

  /** Numbers of the patients asked for; null is the typical one. */
  private chosen(options: Choice | undefined): (number | null)[] {
    if (!options) return [null];
    const { size } = this.facts.patients;
    const first = options.first ?? 0;
    const count = options.count ?? size - first;
    if (!(first >= 0 && count >= 1 && first + count <= size))
      throw new Error(`patients ${first} to ${first + count - 1} are asked for; there are 0 to ${size - 1}`);
    return Array.from({ length: count }, (_, k) => first + k);
  }

  /** Parameters of a patient: the typical row, times the factors by which the patient differs. */
  private parameters(patient: number | null): Float64Array {
    if (patient === null) return this.row;
    const row = this.row.slice();
    for (const [id, factors] of Object.entries(this.facts.patients.factors)) {
      const i = this.columns.get(id);
      if (i !== undefined) row[i] *= factors[patient];
    }
    return row;
  }

  private events(doses: Dose[], row: Float64Array, patient: number | null): Event[] {
    const { dosing, drugs, patients } = this.facts;
    const value = (id: string): number | undefined => {
      const i = this.columns.get(id);
      if (i !== undefined) return row[i];
      const factor = patient === null ? 1 : (patients.factors[id]?.[patient] ?? 1);
      return id in dosing ? dosing[id] * factor : undefined;
    };
    const { states, inputs } = this.mechanism.kernel;
    return lowerDoses(placeDoses(doses, drugs, value), states, inputs);
  }

  /** Solve one stretch for all subjects; `initial` repeats where there are more subjects than states given. */
  private solve(
    stretch: Stretch,
    rows: Float64Array[],
    outputs: Int32Array,
    events?: Event[][],
    initial?: Float64Array,
  ): Solution {
    return this.kernel.solve({
      ...stretch,
      subjects: rows.length,
      parameters: rows.every((row) => row === rows[0]) ? rows[0] : joined(rows),
      initial: initial ? repeated(initial, rows.length * this.atol.length) : null,
      events: events ? table(events) : null,
      outputs,
      relative: this.facts.tolerances.relative,
      absolute: this.atol,
    });
  }
}

function checkTimes(times: readonly number[]): Float64Array {
  const moments = Float64Array.from(times);
  if (!moments.length || !moments.every((t, i) => Number.isFinite(t) && !(t < moments[i - 1])))
    throw new Error("times must be a list of finite hours in ascending order");
  return moments;
}

/** Arms with one first dose make one batch, whose subjects run side by side; without a dose it starts at `begin`. */
function armsByStart(arms: Dose[][], begin: number): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  arms.forEach((doses, arm) => {
    const given = doses.filter((dose) => dose.amount !== 0).map((dose) => dose.time);
    const start = given.length ? Math.min(...given) : begin;
    groups.set(start, [...(groups.get(start) ?? []), arm]);
  });
  return groups;
}

/** Events of all subjects as the kernel reads them. */
function table(events: Event[][]): EventTable {
  const count = Math.max(...events.map((own) => own.length));
  const size = events.length * count;
  const time = new Float64Array(size).fill(Infinity);
  const action = new Int32Array(size);
  const target = new Int32Array(size);
  const value = new Float64Array(size);
  events.forEach((own, subject) => {
    own.forEach((event, k) => {
      const at = subject * count + k;
      time[at] = event.time;
      action[at] = event.action;
      target[at] = event.target;
      value[at] = event.value;
    });
  });
  return { count, time, action, target, value };
}

function joined(rows: Float64Array[]): Float64Array {
  const all = new Float64Array(rows.length * rows[0].length);
  rows.forEach((row, i) => all.set(row, i * row.length));
  return all;
}

function repeated(array: Float64Array, length: number): Float64Array {
  return Float64Array.from({ length }, (_, i) => array[i % array.length]);
}

/** The i-th of so many equal parts. */
function part(array: Float64Array, i: number, parts: number): Float64Array {
  const length = array.length / parts;
  return array.subarray(i * length, (i + 1) * length);
}

function ending(solution: Solution, subject: number): { time: number; status: number; advice: string } | null {
  const status = solution.status[subject];
  return status ? { time: solution.failTime[subject], status, advice: ADVICE[status] } : null;
}

function described(run: Omit<Run, "curve">): Run {
  const { times, outputs, patients, values } = run;
  return {
    ...run,
    curve(arm, output, patient = 0) {
      const column = outputs.indexOf(output);
      if (column < 0) throw new Error(`the run has no output "${output}"`);
      const first = (arm * patients + patient) * times.length * outputs.length + column;
      const found = new Float64Array(times.length);
      for (let i = 0, at = first; i < found.length; i++, at += outputs.length) found[i] = values[at];
      return found;
    },
  };
}
