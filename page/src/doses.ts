/** Doses lowered to events, as schedule.py does it: the same operations in the same order, so the same bits.
 *
 * Neither steady states nor resets, which no scene of a page has.
 */

import type { Amount, Dose, Drug, Target } from "./data.ts";
import { ADD, SET_INPUT } from "./kernel.ts";

/** Times closer than this [h] are one: rounding must not open a gap between an infusion and the next. */
const TIE = 1e-9;

const REFUSED = ["steadyState", "steady_state", "reset"];

/** A regimen that cannot be given. */
export class RegimenError extends Error {}

/** One dose on one target: an amount [nmol] into `state`, or through `input` where a duration or a rate is above 0. */
export interface PlacedDose {
  state: string;
  input: string;
  amount: number; // [nmol]
  time: number; // [h], of the record; each dose arrives `lag` later
  lag: number;
  bioavailability: number;
  duration: number;
  rate: number; // [nmol/h]
  interval: number;
  additional: number;
}

/** What happens at one time; `target` counts states (ADD) or inputs (SET_INPUT). */
export interface Event {
  time: number;
  action: number;
  target: number;
  value: number;
}

/** Doses of a regimen on the targets of their drugs' routes; a dose of amount 0 is none.
 *
 *     amount = dose [mg] (x bodyweight [kg]) * nmol_per_mg * fraction
 *
 * `value`: a parameter of the patient by id, undefined for an unknown one. Throws RegimenError that quotes the dose.
 */
export function placeDoses(
  doses: readonly Dose[],
  drugs: Record<string, Drug>,
  value: (id: string) => number | undefined,
): PlacedDose[] {
  return doses
    .filter((dose) => dose.amount !== 0)
    .flatMap((dose) => {
      try {
        return place(dose, drugs, value);
      } catch (error) {
        if (!(error instanceof RegimenError)) throw error;
        throw new RegimenError(
          `${dose.drug} ${dose.amount} mg${dose.perKg ? "/kg" : ""} ${dose.route}: ${error.message}`,
        );
      }
    });
}

function place(dose: Dose, drugs: Record<string, Drug>, value: (id: string) => number | undefined): PlacedDose[] {
  checkDose(dose);
  const drug = drugs[dose.drug];
  if (!drug) throw new RegimenError(`unknown drug "${dose.drug}"; there are ${Object.keys(drugs).join(", ")}`);
  const route = drug.routes[dose.route];
  if (!route) throw new RegimenError(`no route "${dose.route}"; there are ${Object.keys(drug.routes).join(", ")}`);
  const scale = dose.perKg ? value("bodyweight") : 1;
  if (!(scale !== undefined && scale > 0 && scale < Infinity))
    throw new RegimenError("a dose per kg needs the patient's bodyweight [kg]");
  return route.map((target) => placeShare(dose, target, dose.amount * scale, scale * drug.nmolPerMg, value));
}

/** Refuse what cannot be given, before any of it is computed with. */
function checkDose(dose: Dose): void {
  const refused = REFUSED.find((key) => (dose as unknown as Record<string, unknown>)[key]);
  if (refused) throw new RegimenError(`a page has neither steady states nor resets (${refused}); spell the doses out`);
  for (const key of ["amount", "time", "duration", "rate", "interval", "additional"] as const) {
    if (!Number.isFinite(dose[key])) throw new RegimenError(`the ${key} is not finite`);
    if (key !== "time" && dose[key] < 0) throw new RegimenError(`the ${key} ${dose[key]} is below 0`);
  }
  if (!Number.isInteger(dose.additional))
    throw new RegimenError(`${dose.additional} additional doses; it is a whole number`);
  if (dose.additional && !dose.interval) throw new RegimenError("additional doses need an interval above 0");
  if (dose.duration && dose.rate) throw new RegimenError("an infusion has a duration or a rate, not both");
}

/** The share of a dose that one target takes; `nmolPerUnit` counts nmol in one unit of the written dose. */
function placeShare(
  dose: Dose,
  target: Target,
  milligrams: number,
  nmolPerUnit: number,
  value: (id: string) => number | undefined,
): PlacedDose {
  const share = nmolPerUnit * resolve(target.fraction, milligrams, value);
  const duration = resolve(target.duration, milligrams, value);
  if (duration > 0 && (dose.duration || dose.rate))
    throw new RegimenError(`${target.state} takes its share at its own pace; an infusion by this route is not known`);
  const lag = resolve(target.lag, milligrams, value);
  const bioavailability = resolve(target.F, milligrams, value);
  for (const [name, number] of Object.entries({ lag, bioavailability }))
    if (!(number >= 0 && number < Infinity)) throw new RegimenError(`the ${name} into ${target.state} is ${number}`);
  return {
    state: target.state,
    input: target.input,
    amount: dose.amount * share,
    time: dose.time,
    lag,
    bioavailability,
    duration: duration > 0 ? duration : dose.duration,
    rate: dose.rate * share,
    interval: dose.interval,
    additional: dose.additional,
  };
}

/** Number behind a target's quantity for a dose [mg]. Throws RegimenError outside a table, for nothing is known there. */
function resolve(amount: Amount, milligrams: number, value: (id: string) => number | undefined): number {
  if (typeof amount === "number") return amount;
  if (typeof amount === "string") {
    const found = value(amount);
    if (found === undefined) throw new RegimenError(`no value for the parameter "${amount}"`);
    return found;
  }
  const { doses, values } = amount;
  const last = doses.length - 1;
  if (!(doses[0] <= milligrams && milligrams <= doses[last]))
    throw new RegimenError(
      `a dose of ${milligrams} mg lies outside the known doses ${doses[0]} to ${doses[last]} mg; give a dose within them`,
    );
  const j = doses.findLastIndex((dose) => dose <= milligrams);
  if (doses[j] === milligrams) return values[j];
  const slope = (values[j + 1] - values[j]) / (doses[j + 1] - doses[j]); // as numpy.interp
  return slope * (milligrams - doses[j]) + values[j];
}

/** Events of placed doses by time, then SET_INPUT before ADD, then target, then value.
 *
 * An input has the sum of the infusions that run, exactly 0 when none does. Throws RegimenError for a state or an
 * input that the model lacks.
 */
export function lowerDoses(
  placed: readonly PlacedDose[],
  states: readonly string[],
  inputs: readonly string[],
): Event[] {
  const trains = [...placed].sort(compareDoses).map((dose) => trainOf(dose, states, inputs));
  tie(trains);
  const events: Event[] = [];
  const infusions = new Map<number, Infusion[]>();
  for (const { target, value, on, off } of trains) {
    if (off) {
      const running = infusions.get(target) ?? [];
      infusions.set(target, running);
      on.forEach((time, k) => running.push({ on: time, off: off[k], rate: value }));
    } else {
      events.push(...on.map((time) => ({ time, action: ADD, target, value })));
    }
  }
  for (const [target, running] of infusions) events.push(...totals(target, running));
  return events.sort((a, b) => a.time - b.time || b.action - a.action || a.target - b.target || a.value - b.value);
}

interface Infusion {
  on: number;
  off: number;
  rate: number;
}

/** Administrations of one dose: amounts into a state at `on`, or, where there is an `off`, a rate until then. */
interface Train {
  target: number;
  value: number;
  on: number[];
  off: number[] | null;
}

/** Order of doses by content alone; decides in which order the rates of overlapping infusions are added up. */
function compareDoses(a: PlacedDose, b: PlacedDose): number {
  return (
    a.time - b.time ||
    compare(a.state, b.state) ||
    compare(a.input, b.input) ||
    a.interval - b.interval ||
    a.additional - b.additional ||
    compareBytes(content(a), content(b))
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function content(dose: PlacedDose): Uint8Array {
  const { amount, lag, bioavailability, duration, rate } = dose;
  return new Uint8Array(new Float64Array([amount, lag, bioavailability, duration, rate]).buffer);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const i = a.findIndex((byte, k) => byte !== b[k]);
  return i < 0 ? 0 : a[i] - b[i];
}

function trainOf(dose: PlacedDose, states: readonly string[], inputs: readonly string[]): Train {
  const state = find(dose.state, states, "state");
  const amount = dose.amount * dose.bioavailability;
  const isInfusion = dose.duration > 0 || dose.rate > 0;
  const [length, value] = !isInfusion
    ? [0, amount]
    : dose.duration > 0
      ? [dose.duration, amount / dose.duration]
      : [amount / dose.rate, dose.rate];
  const times = Array.from({ length: dose.additional + 1 }, (_, k) => dose.time + dose.lag + dose.interval * k);
  if (!isInfusion) return { target: state, value, on: times, off: null };
  const target = find(dose.input, inputs, "input");
  const lasting = times.filter((on) => on + length > on + TIE); // an infusion without length gives nothing
  return { target, value, on: lasting, off: lasting.map((on) => on + length) };
}

function find(name: string, names: readonly string[], what: string): number {
  const i = names.indexOf(name);
  if (i < 0) throw new RegimenError(`the model has no ${what} "${name}"`);
  return i;
}

/** Make times closer than `TIE` to their neighbour equal to the earliest of them, over all trains. */
function tie(trains: readonly Train[]): void {
  const all = trains.flatMap(({ on, off }) => (off ? [on, off] : [on]));
  const places = all.flatMap((times) => times.map((time, k) => ({ times, k, time })));
  places.sort((a, b) => a.time - b.time);
  let before = -Infinity;
  let leader = -Infinity;
  for (const { times, k, time } of places) {
    if (time - before > TIE) leader = time;
    before = time;
    times[k] = leader;
  }
}

/** The times at which an input's total rate changes. Rates are added up anew each time: never subtracted. */
function totals(target: number, infusions: readonly Infusion[]): Event[] {
  const times = [...new Set(infusions.flatMap(({ on, off }) => [on, off]))].sort((a, b) => a - b);
  const events: Event[] = [];
  let before = 0;
  for (const time of times) {
    let value = 0;
    for (const { on, off, rate } of infusions) if (on <= time && time < off) value += rate;
    if (value !== before) events.push({ time, action: SET_INPUT, target, value });
    before = value;
  }
  return events;
}
