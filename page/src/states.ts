/** The state of the nodes of a causal graph at one moment: how far from rest, and how that is written. */

import type { Edge, Facts, Mechanism, Node } from "./data.ts";

export type Kind = Node["kind"];

export interface NodeState {
  id: string;
  label: string; // short, for the diagram
  name: string; // as the sentence says it
  kind: Kind;
  value: number;
  rest: number; // without any drug, at the same time
  span: number; // the furthest this node goes from rest in this run
  reached: number; // the furthest it has gone so far, on the side where it is now
  leaving: boolean; // whether it goes on leaving rest
  unit: string;
}

/** Nodes of a mechanism's graph in the order of its edges, causes first as far as they go. */
export function nodesOf(mechanism: Mechanism): string[] {
  return [...new Set(mechanism.edges.flatMap((edge) => [edge.from, edge.to]))];
}

/** What is read for a node: its output where the mechanism has it, else the node's own symbol. */
export function outputOf(facts: Facts, id: string): string {
  return facts.nodes[id]?.output ?? id;
}

export function labelOf(facts: Facts, id: string): string {
  return facts.nodes[id]?.label ?? facts.outputs[id]?.short ?? id;
}

/** How the sentence names a node: a label that is cut short ("mu: antagonist") gives way to its output's title. */
export function nameOf(facts: Facts, id: string): string {
  const label = labelOf(facts, id);
  if (facts.nodes[id]?.kind === "points") return `the ${label}`;
  return label.includes(":") ? (facts.outputs[outputOf(facts, id)]?.title ?? label) : label;
}

/** How a node is written: one in own units that is above 0 at rest is told as a multiple of rest. */
export function kindOf(facts: Facts, id: string, start: number): Kind {
  const kind = facts.nodes[id]?.kind ?? "plain";
  const unit = facts.outputs[outputOf(facts, id)]?.unit ?? "";
  return kind === "plain" && unit === "" && start > 1e-9 ? "relative" : kind;
}

/** Mechanisms class by class, classes in the order of their first member. */
export function byClass(mechanisms: readonly Mechanism[]): { title: string; members: Mechanism[] }[] {
  const found = new Map<string, Mechanism[]>();
  for (const mechanism of mechanisms) {
    const title = mechanism.group || "for reference";
    found.set(title, [...(found.get(title) ?? []), mechanism]);
  }
  return [...found].map(([title, members]) => ({ title, members }));
}

/** Outputs that a mechanism's pictures need, each once: those of tracks and nodes that it has. */
export function outputsOf(facts: Facts, mechanism: Mechanism): string[] {
  const wanted = [...facts.tracks.flatMap((track) => track.outputs), ...nodesOf(mechanism).map((id) => outputOf(facts, id)), "score"];
  return [...new Set(wanted)].filter((output) => mechanism.kernel.outputs.includes(output));
}

/** Distance from rest in units in which 1 is large: signed. */
export function departure(state: Pick<NodeState, "kind" | "value" | "rest" | "span">): number {
  const { kind, value, rest, span } = state;
  if (!Number.isFinite(value) || !Number.isFinite(rest)) return 0;
  if (kind === "share") return value - rest;
  if (kind === "points") return (value - rest) / 10;
  if (kind === "relative") return rest > 0 && value > 0 ? Math.log2(value / rest) : value - rest;
  return (value - rest) / Math.max(span, 0.01);
}

// What is too little to be said, by kind, in units of `departure`: half a percent of receptors, 3 % of a relative reading,
// a fifth of a point of the scale, 3 % of the largest departure.
const NOTHING: Record<Kind, number> = { share: 0.005, relative: Math.log2(1.03), points: 0.02, plain: 0.03 };

/** +1 above rest, -1 below, 0 as good as at rest; `fine` asks for a finer sense than what is worth a word. */
export function direction(state: Pick<NodeState, "kind" | "value" | "rest" | "span">, fine = 1): -1 | 0 | 1 {
  const size = departure(state);
  return Math.abs(size) < NOTHING[state.kind] * fine ? 0 : size > 0 ? 1 : -1;
}

/** How strongly a node is coloured and how thick its edges are [0-1]. */
export function strength(state: Pick<NodeState, "kind" | "value" | "rest" | "span">): number {
  return direction(state) === 0 ? 0 : Math.min(1, 0.12 + 0.88 * Math.abs(departure(state)));
}

/** A value as a node or a label shows it: "93 %", "1.8×", "16.2", "3.1 h". */
export function write(kind: Kind, value: number, unit = "", rest = 1): string {
  if (!Number.isFinite(value)) return "no value";
  if (kind === "share") {
    const percent = value * 100;
    return `${percent > 0.05 && percent < 9.95 ? percent.toFixed(1) : percent.toFixed(0)} %`;
  }
  if (kind === "relative") {
    const times = rest > 0 ? value / rest : value;
    return `${Math.abs(times - 1) < 0.095 && Math.abs(times - 1) >= 0.005 ? times.toFixed(2) : figure(times)}×`;
  }
  if (kind === "points") return value.toFixed(1);
  const short = unit === "hour" ? " h" : unit === "" ? "" : ` ${unit}`;
  return `${figure(value)}${short}`;
}

function figure(value: number): string {
  const size = Math.abs(value);
  const text = size >= 99.5 ? value.toFixed(0) : size >= 9.95 ? value.toFixed(1) : value.toFixed(2);
  const short = size < 9.95 && size >= 0.995 ? value.toFixed(1) : text;
  return Number(short) === 0 ? "0" : short;
}

/** Causes of a node among edges: those whose source now departs, by whether they push the node up or down. */
export function pushes(edges: readonly Pick<Edge, "from" | "to" | "sign">[], to: string, directions: ReadonlyMap<string, -1 | 0 | 1>) {
  const own = edges.filter((edge) => edge.to === to && (directions.get(edge.from) ?? 0) !== 0);
  const push = (edge: Pick<Edge, "from" | "sign">) => edge.sign * directions.get(edge.from)!;
  return { up: own.filter((edge) => push(edge) > 0), down: own.filter((edge) => push(edge) < 0) };
}
