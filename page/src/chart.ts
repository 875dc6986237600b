/** One panel of the charts as shapes: grid, bands, lines, labels at the lines' ends, published points; and the dose marks. */

import type { Band } from "./bands.ts";
import type { Curves, Panel } from "./curves.ts";
import type { Dose, Facts, Mechanism, Scene } from "./data.ts";
import { measure } from "./measure.ts";
import { DASHES, drugColour } from "./palette.ts";
import type { DrugEdge } from "./regimens.ts";
import { bandPath, linear, linePath, type Scale, spread } from "./scales.ts";
import { type Kind, outputOf, write } from "./states.ts";
import { shortTitle } from "./story.ts";

/** What of a page a chart needs. */
export interface Charted {
  facts: Facts;
  scene: Scene;
  amounts: number[];
  shown: { mechanism: Mechanism; curves: Curves }[];
  bands: Record<string, Band> | null;
  bandsOn: boolean;
  antagonist: string | null;
  antagonistOn: boolean;
  drugs: string[];
  drugEdges(mechanism: Mechanism): DrugEdge[];
  isGiven(drug: string): boolean;
}

export interface Frame {
  x: Scale;
  across: number[]; // where the curves' times lie [px]
  left: number;
  right: number;
  room: number; // for a label right of the curves [px]
  height: number;
  narrow: boolean;
}

interface Line {
  key: string;
  path: string;
  colour: string;
  width: number;
  dash: string;
}

interface Wish {
  key: string;
  text: string;
  from: number;
  colour: string;
  ink: string;
}

export function drawPanel(page: Charted, panel: Panel, frame: Frame) {
  const { kind } = panel.track;
  const y = linear(panel.domain, [frame.height, 0]);
  const lines: Line[] = [];
  const wishes: Wish[] = [];
  const single = panel.outputs.length === 1;
  page.shown.forEach(({ mechanism, curves }, k) => {
    for (const output of panel.outputs) {
      const colour = colourOf(page, mechanism, output);
      const ink = colour.startsWith("#") ? `color-mix(in srgb, ${colour} var(--mix), var(--ink))` : colour;
      const add = (arm: string, values: Float64Array | undefined, style: Omit<Line, "key" | "path">, text: string, words: string) => {
        if (!values) return;
        lines.push({ key: `${k} ${arm} ${output}`, path: linePath(frame.across, values, y), ...style });
        if (text) wishes.push({ key: `${k} ${arm} ${output}`, text, from: y(values[values.length - 1]), colour: style.colour, ink: words });
      };
      const { antagonistOn } = page;
      const without = antagonistOn ? curves.without?.[output] : undefined;
      if (k === 0) {
        const ghost = without && single && page.antagonist ? nameGhost(page, frame) : "";
        add("without", without, { colour: "var(--ghost)", width: 2, dash: "" }, ghost, "var(--soft)");
        if (kind === "points") add("none", curves.none[output], { colour: "var(--ink)", width: 1.2, dash: "1.5 3" }, "no drug", "var(--soft)");
      }
      add("scene", curves.scene[output], { colour, width: k === 0 ? 2.4 : 2, dash: DASHES[k] }, nameScene(page, mechanism, output, k, single, kind, frame), ink);
    }
  });
  // what is chosen is drawn last, above the rest
  lines.sort((a, b) => Number(a.key.includes("scene")) - Number(b.key.includes("scene")));
  const places = spread(wishes.map((wish) => wish.from), 15, [0, frame.height]);
  return {
    y,
    title: single ? (page.facts.outputs[panel.outputs[0]]?.short ?? panel.track.title).replace(/, relative$/, "") : panel.track.title,
    hint: hintOf(page.facts, panel, frame),
    grid: panel.ticks.map((tick) => ({ at: y(tick), text: kind === "share" ? `${Math.round(tick * 100)} %` : String(tick) })),
    bands: bandsOf(page, panel, frame, y),
    lines,
    labels: wishes.map((wish, i) => ({ ...wish, text: fit(wish.text, frame.room, wish.key.includes("scene") ? 600 : 400), at: places[i] })),
    points: pointShapes(page.facts, panel, frame, y),
  };
}

function nameGhost(page: Charted, frame: Frame): string {
  return frame.narrow || page.antagonist === null ? "without" : `without ${shortTitle(page.facts, page.antagonist)}`;
}

function nameScene(page: Charted, mechanism: Mechanism, output: string, k: number, single: boolean, panelIs: Kind, frame: Frame): string {
  const short = page.facts.outputs[output]?.short ?? output;
  if (page.shown.length > 1 && single) return frame.narrow ? "" : cut(mechanism.title, 20);
  if (!single) return k === 0 ? short : "";
  if (page.antagonist !== null && page.antagonistOn) return frame.narrow ? "with" : `with ${shortTitle(page.facts, page.antagonist)}`;
  const given = page.drugs.filter((drug) => page.isGiven(drug)).map((drug) => shortTitle(page.facts, drug));
  return panelIs === "points" && given.length > 0 ? cut(given.join(" and "), frame.narrow ? 12 : 20) : "";
}

function cut(text: string, letters: number): string {
  return text.length <= letters ? text : `${text.slice(0, letters - 1).trimEnd()}…`;
}

/** A label cut to its room. */
function fit(text: string, room: number, weight: number): string {
  let letters = text.length;
  while (letters > 1 && measure(cut(text, letters), weight) > room) letters--;
  return cut(text, letters);
}

function hintOf(facts: Facts, panel: Panel, frame: Frame): string {
  const { kind } = panel.track;
  if (frame.right - frame.left < 180) return kind === "points" ? "lower is better" : "";
  if (frame.narrow && kind === "points") return "lower is better";
  if (kind === "points") return `${facts.trial.scale}, lower is better`;
  if (kind === "share") return "share of all";
  if (kind === "relative") return "times rest";
  const unit = facts.outputs[panel.outputs[0]]?.unit ?? "";
  return unit;
}

/** The colour of the one drug that moves an output itself; ink for all else. */
function colourOf(page: Charted, mechanism: Mechanism, output: string): string {
  const movers = page.drugEdges(mechanism).filter((edge) => outputOf(page.facts, edge.to) === output);
  return movers.length === 1 ? drugColour(movers[0].drug, page.facts.drugs) : "var(--ink)";
}

function bandsOf(page: Charted, panel: Panel, frame: Frame, y: Scale) {
  if (!page.bandsOn || page.bands === null || page.shown.length === 0) return [];
  const { mechanism } = page.shown[0];
  return panel.outputs
    .filter((output) => page.bands?.[output])
    .map((output) => {
      const { low, high } = page.bands![output];
      const colour = colourOf(page, mechanism, output);
      return { key: output, path: bandPath(frame.across, low, high, y), colour };
    });
}

const SHAPES = {
  change: (x: number, y: number) => `M${x - 4.5},${y}a4.5,4.5 0 1 0 9,0a4.5,4.5 0 1 0 -9,0z`,
  contrast: (x: number, y: number) => `M${x},${y - 6}l5.6,6l-5.6,6l-5.6,-6z`,
  value: (x: number, y: number) => `M${x - 4.3},${y - 4.3}h8.6v8.6h-8.6z`,
};

function pointShapes(facts: Facts, panel: Panel, frame: Frame, y: Scale) {
  const taken: number[] = [];
  return panel.points.map(({ observed, value, low, high }, i) => {
    let x = frame.x(observed.time);
    while (taken.some((other) => Math.abs(other - x) < 11)) x += 12;
    taken.push(x);
    const source = facts.sources[observed.source];
    const meaning = { change: "mean change from the start", contrast: "difference from the comparator", value: "measured" }[observed.kind];
    const ends = low !== null && high !== null ? `, interval ${write(panel.track.kind, low)} to ${write(panel.track.kind, high)}` : "";
    return {
      key: `${i} ${observed.text}`,
      x,
      low: low === null ? null : y(low),
      high: high === null ? null : y(high),
      shape: SHAPES[observed.kind](x, y(value)),
      url: source?.url ?? "",
      spoken: `Published, ${meaning}: ${observed.study}; shown at ${write(panel.track.kind, value)}${ends}. ${observed.text}. ${source?.text ?? ""}`,
    };
  });
}

/** Marks of each drug's doses below the axis: a bar for an infusion, a tick for a dose given at once. */
export function marksOf(page: Charted, x: Scale) {
  const last = page.scene.times[page.scene.times.length - 1];
  return page.drugs.map((drug) => {
    const doses = page.scene.doses.filter((dose, i) => dose.drug === drug && page.amounts[i] > 0);
    const colour = drugColour(drug, page.facts.drugs);
    const marks = doses.flatMap((dose) => timesOf(dose, last).map((time) => markOf(dose, time, x)));
    const ends = doses.map((dose) => x(Math.min(last, dose.time + dose.interval * dose.additional + dose.duration)));
    const beyond = Math.max(...ends, -Infinity);
    const text = doses.length > 0 ? shortTitle(page.facts, drug) : `${shortTitle(page.facts, drug)}: none`;
    const crowded = beyond > x(last) - 80;
    const textAt = !Number.isFinite(beyond) ? x(page.scene.times[0]) : crowded ? x(last) + 10 : beyond + 8;
    return { drug, colour, ink: `color-mix(in srgb, ${colour} var(--mix), var(--ink))`, marks, text, textAt, anchor: "start" as const };
  });
}

function timesOf(dose: Dose, last: number): number[] {
  return Array.from({ length: dose.additional + 1 }, (_, k) => dose.time + dose.interval * k).filter((time) => time <= last);
}

function markOf(dose: Dose, time: number, x: Scale): string {
  const from = x(time);
  if (dose.duration > 0) return `M${from.toFixed(1)},-4H${Math.max(from + 3, x(time + dose.duration)).toFixed(1)}v8H${from.toFixed(1)}z`;
  return dose.additional > 5 ? `M${(from - 1).toFixed(1)},-5h2v10h-2z` : `M${(from - 5).toFixed(1)},5h10l-5,-9z`;
}
