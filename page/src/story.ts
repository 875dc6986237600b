/** What the live sentence is told of the page: where in time, which states, which drugs, and how the score ends. */

import type { Curves } from "./curves.ts";
import type { Facts, Mechanism, Scene } from "./data.ts";
import type { DrugEdge } from "./regimens.ts";
import { moment, valueAt } from "./scales.ts";
import { type Phrase, tell } from "./sentence.ts";
import { direction, type NodeState, outputOf } from "./states.ts";

/** What of a page a story needs. */
export interface Told {
  facts: Facts;
  scene: Scene;
  time: number;
  antagonist: string | null;
  antagonistOn: boolean;
  drugEdges(mechanism: Mechanism): DrugEdge[];
  isGiven(drug: string, by?: number): boolean;
}

export function storyOf(page: Told, mechanism: Mechanism, curves: Curves, states: readonly NodeState[]): Phrase[][] {
  const { facts } = page;
  return tell({
    lead: leadOf(facts, page.scene, page.time),
    states,
    edges: mechanism.edges,
    drugs: page.drugEdges(mechanism).filter((edge) => acts(page, edge, curves, states)),
    titles: Object.fromEntries(Object.keys(facts.drugs).map((drug) => [drug, shortTitle(facts, drug)])),
    goal: goalOf(page, curves),
  });
}

/** Whether a drug acts on a node now: it has been given, and where a curve without it is at hand, the two differ its way. */
function acts(page: Told, edge: DrugEdge, curves: Curves, states: readonly NodeState[]): boolean {
  if (!page.isGiven(edge.drug, page.time)) return false;
  const state = states.find((other) => other.id === edge.to);
  const without = curves.without?.[outputOf(page.facts, edge.to)];
  if (!state || edge.drug !== page.antagonist || !without) return true;
  return direction({ ...state, rest: valueAt(curves.times, without, page.time) }) === edge.sign;
}

export function shortTitle(facts: Facts, drug: string): string {
  return facts.drugs[drug]?.title.replace(/ \(.*/, "") ?? drug;
}

/** "1 h after ketamine starts": the moment, counted from the dose at time 0. */
export function leadOf(facts: Facts, scene: Scene, time: number): string {
  const when = moment(time);
  const dose = scene.doses.find((other) => other.time === 0);
  if (!/after|before/.test(when)) return when;
  return dose ? `${when} ${shortTitle(facts, dose.drug)}${dose.duration > 0 ? " starts" : ""}` : `${when} time 0`;
}

/** Where the score stands a day on, or at the end of a longer scene. */
function goalOf(page: Told, curves: Curves): string {
  const { scene, none, without } = curves;
  const last = curves.times[curves.times.length - 1];
  const goal = last > 240 ? last : Math.min(24, last);
  if (!scene.score || !none.score || page.time > goal) return "";
  const points = (arm: Float64Array) => valueAt(curves.times, none.score, goal) - valueAt(curves.times, arm, goal);
  const now = points(scene.score);
  const where = (size: number) => `${Math.abs(size).toFixed(1)} points ${size > 0 ? "below" : "above"}`;
  const when = goal % 24 === 0 ? `At day ${goal / 24}` : `At ${Number(goal.toFixed(1))} h`;
  const first = Math.abs(now) < 0.05 ? `${when} the score is where no drug leaves it` : `${when} the score is ${where(now)} where no drug leaves it`;
  if (!page.antagonist || !page.antagonistOn || !without?.score) return `${first}.`;
  const other = points(without.score);
  return `${first}; without ${shortTitle(page.facts, page.antagonist)} ${Math.abs(other) < 0.05 ? "there, too" : `it would be ${where(other).replace(/ points/, "")}`}.`;
}
