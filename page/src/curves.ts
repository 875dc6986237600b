/** What the stacked charts show: which outputs, over which domains, with which labels and published points. */

import type { Band } from "./bands.ts";
import type { Facts, Observed, Scene, Track } from "./data.ts";
import { between, nice, ticks, valueAt } from "./scales.ts";
import { direction, type Kind } from "./states.ts";

export type Curve = Record<string, Float64Array>;

/** The arms of a scene under one mechanism. */
export interface Curves {
  times: readonly number[];
  scene: Curve;
  without: Curve | null;
  none: Curve;
  failure: string | null; // why the curves end early, if they do
}

export interface Point {
  observed: Observed;
  value: number;
  low: number | null;
  high: number | null;
}

export interface Panel {
  track: Track;
  outputs: string[];
  domain: [number, number];
  ticks: number[];
  points: Point[];
}

/** The furthest that an output goes from where no drug leaves it. */
export function spanOf(curves: Curves, output: string): number {
  let span = 0;
  const none = curves.none[output];
  if (!none) return 0;
  for (const arm of [curves.scene, curves.without]) {
    const values = arm?.[output];
    if (!values) continue;
    for (let i = 0; i < values.length; i++) {
      const size = Math.abs(values[i] - none[i]);
      if (size > span) span = size;
    }
  }
  return span;
}

/** The furthest that an output has gone from where no drug leaves it up to a time, on the side of `now`. */
export function reachOf(curves: Curves, output: string, time: number, now: number): number {
  const [values, none] = [curves.scene[output], curves.none[output]];
  let reach = Math.abs(now);
  if (!values || !none) return reach;
  const side = Math.sign(now);
  for (let i = 0; i < values.length && curves.times[i] <= time; i++) reach = Math.max(reach, side * (values[i] - none[i]));
  return reach;
}

/** Whether an output goes on leaving where no drug leaves it, at a time. */
export function isLeaving(curves: Curves, output: string, time: number): boolean {
  const [values, none] = [curves.scene[output], curves.none[output]];
  if (!values || !none) return false;
  const [index] = between(curves.times, time);
  const [before, after] = [Math.abs(values[index] - none[index]), Math.abs(values[index + 1] - none[index + 1])];
  return after > 1.002 * before;
}

/** Whether and which way one curve leaves another, at their largest distance. */
export function moved(kind: Kind, more: Float64Array, less: Float64Array, fine = 1): -1 | 0 | 1 {
  let at = 0;
  for (let i = 0; i < more.length; i++) if (Math.abs(more[i] - less[i]) > Math.abs(more[at] - less[at])) at = i;
  return direction({ kind, value: more[at], rest: less[at], span: Math.abs(more[at] - less[at]) }, fine);
}

/** Outputs of a track that a mechanism has and that move in this scene; where none moves, the first stands for all. */
export function shownOutputs(track: Track, all: readonly Curves[]): string[] {
  const had = track.outputs.filter((output) => all.some((curves) => curves.scene[output]));
  const moving = had.filter((output) => all.some((curves) => moves(track.kind, curves, output)));
  return moving.length > 0 ? moving : had.slice(0, 1);
}

function moves(kind: Kind, curves: Curves, output: string): boolean {
  const none = curves.none[output];
  if (!none) return false;
  return [curves.scene, curves.without].some((arm) => arm?.[output] !== undefined && moved(kind, arm[output], none) !== 0);
}

/** Published points of an output, on the curve's own scale. */
export function pointsOf(facts: Facts, scene: Scene, outputs: readonly string[], curves: Curves): Point[] {
  return scene.observed
    .filter((observed) => outputs.includes(observed.output))
    .map((observed) => {
      const none = curves.none[observed.output];
      const base =
        observed.kind === "change" ? facts.trial.baseline : observed.kind === "contrast" && none ? valueAt(curves.times, none, observed.time) : 0;
      const place = (value: number) => base + value * (observed.kind === "value" ? 1 : observed.factor);
      const ends = [observed.low, observed.high].map((end) => (end === null ? null : place(end)));
      const [low, high] = ends[0] !== null && ends[1] !== null ? [...ends].sort((a, b) => a! - b!) : ends;
      return { observed, value: place(observed.value), low, high };
    });
}

/** The panels of a scene, top to bottom. `own`: whether the doses are the scene's own, for only then points belong here. */
export function panelsOf(facts: Facts, scene: Scene, all: readonly Curves[], own: boolean, bands: Record<string, Band> | null): Panel[] {
  const panels: Panel[] = [];
  for (const track of facts.tracks) {
    const outputs = shownOutputs(track, all);
    if (outputs.length === 0) continue;
    const points = own ? pointsOf(facts, scene, outputs, all[0]) : [];
    const [low, high] = extent(outputs, all, points, bands);
    const domain = domainOf(track.kind, low, high);
    panels.push({ track, outputs, domain, ticks: ticksOf(track.kind, domain), points });
  }
  return panels;
}

function extent(outputs: readonly string[], all: readonly Curves[], points: readonly Point[], bands: Record<string, Band> | null): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  const take = (value: number) => {
    if (value < low) low = value;
    if (value > high) high = value;
  };
  const takeAll = (values: Float64Array | undefined) => {
    for (let i = 0; values && i < values.length; i++) take(values[i]);
  };
  for (const curves of all)
    for (const arm of [curves.scene, curves.without, curves.none]) for (const output of outputs) takeAll(arm?.[output]);
  for (const output of outputs) for (const edge of [bands?.[output]?.low, bands?.[output]?.high]) takeAll(edge);
  for (const point of points) for (const value of [point.value, point.low, point.high]) if (value !== null) take(value);
  return low <= high ? [low, high] : [0, 1];
}

function domainOf(kind: Kind, low: number, high: number): [number, number] {
  if (kind === "share") return [0, high > 1 ? nice([0, high], 2)[1] : 1];
  if (kind === "relative") return [low >= 0.5 ? 0.5 : 0, Math.max(1.5, nice([0, high], 4)[1])];
  if (kind === "points") return nice([low - 0.5, high + 0.5], 4);
  const room = high - low < 1e-9 ? 0.5 : 0;
  return nice([Math.min(low, 0), high + room], 3);
}

function ticksOf(kind: Kind, domain: [number, number]): number[] {
  if (kind === "share" && domain[1] === 1) return [0, 0.5, 1];
  if (kind === "relative" && domain[1] <= 3) return [0, 0.5, 1, 1.5, 2, 3].filter((tick) => tick >= domain[0] && tick <= domain[1] && (domain[0] > 0 || tick % 1 === 0 || domain[1] < 2));
  return ticks(domain, 3);
}
