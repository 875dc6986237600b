/** The live sentence: what the chosen mechanism says happens now, told from its own edges and states.
 *
 * The rule. A node is spoken of when it departs from rest, or when two of its causes pull against each other. Its causes
 * are the edges whose source departs from rest in the direction that the edge's sign turns into the node's own; those
 * that push the other way are told as "against". A source that was far from rest and has all but gone back is no cause of
 * a node that has not. A node that departs while nothing pushes it is "still" where it is, an effect that outlasts its cause,
 * unless it goes on leaving rest: then a cause too near to rest for a word of its own is named, or it is said that no edge
 * explains it. No cause is named that is no edge of the mechanism, or no drug that moves the node itself.
 */

import type { DrugEdge } from "./regimens.ts";
import { direction, type NodeState, pushes, write } from "./states.ts";

export interface Phrase {
  text: string;
  strong?: boolean;
}

/** A link as far as the sentence needs it. */
export interface Link {
  from: string;
  to: string;
  sign: 1 | -1;
}

export interface Telling {
  lead: string; // "1 h after ketamine starts"
  states: readonly NodeState[];
  edges: readonly Link[];
  drugs: readonly DrugEdge[]; // of the drugs that are given
  titles: Record<string, string>; // of drugs
  goal: string; // a last sentence, from the curves
}

const FINE = 0.01; // of what is worth a word

type Directions = ReadonlyMap<string, -1 | 0 | 1>;

/** Sentences in order, each a list of phrases. */
export function tell(telling: Telling): Phrase[][] {
  const directions = new Map(telling.states.map((state) => [state.id, direction(state)]));
  const states = new Map(telling.states.map((state) => [state.id, state]));
  const present = telling.edges.filter((edge) => !isPast(states.get(edge.from), states.get(edge.to)));
  const sentences: Phrase[][] = [];
  const ends = new Map<string, Phrase[]>(); // a node that ends a sentence, which may go on from there
  const begun = new Set<string>(); // nodes already told as a cause
  for (const id of inOrder([...states.keys()], telling.edges)) {
    const state = states.get(id)!;
    const plainly = causesOf(id, present, telling.drugs, directions);
    const faint = isUnexplained(state, plainly, telling.edges);
    const ways = faint ? finely(telling.states, directions) : directions;
    const own = faint ? causesOf(id, telling.edges, telling.drugs, ways) : plainly;
    const contested = own.support.length + own.drugs.length > 0 && own.against.length + own.opposed.length > 0;
    if (directions.get(id) === 0 && !(own.balance && state.kind !== "points")) continue;
    const [only] = own.support;
    const simple = own.support.length === 1 && own.drugs.length === 0 && !contested && directions.get(id) !== 0;
    const open = simple ? ends.get(only.from) : undefined;
    if (simple && open && open.length < 10) {
      open.push({ text: `, which ${verb(only, ways, false)} ` }, ...target(state, only, ways));
      ends.delete(only.from);
      ends.set(id, open);
    } else {
      const sentence = simple ? goesOn(only, state, states, ways, begun) : standsAlone(id, own, state, states, ways, telling);
      sentences.push(sentence);
      // ", which" must have one thing to point at
      if (own.support.length < 2 && own.against.length + own.opposed.length === 0 && !isUnexplained(state, own, telling.edges)) ends.set(id, sentence);
    }
    for (const edge of own.support) begun.add(edge.from);
  }
  if (sentences.length === 0) sentences.push([{ text: "Nothing differs from rest" }]);
  sentences[0].unshift({ text: `${telling.lead}: `, strong: true });
  for (const sentence of sentences) sentence.push({ text: "." });
  if (telling.goal) sentences.push([{ text: telling.goal }]);
  return sentences.map(capital);
}

/** The sentences as plain text. */
export function plain(sentences: readonly (readonly Phrase[])[]): string {
  return sentences.map((sentence) => sentence.map((phrase) => phrase.text).join("")).join(" ");
}

interface Causes {
  support: Link[];
  against: Link[];
  drugs: DrugEdge[];
  opposed: DrugEdge[]; // drugs that push the other way
  balance: boolean; // at rest, with a push from either side
}

/** Whether an edge's work is done: its source is below a tenth of the furthest it has been, its node above half of that. */
function isPast(source: NodeState | undefined, node: NodeState | undefined): boolean {
  if (!source || !node) return true;
  const left = (state: NodeState) => (state.reached > 0 ? Math.abs(state.value - state.rest) / state.reached : 0);
  return left(source) < 0.1 && left(node) > 0.5;
}

/** Directions in which also a source near rest has one; what is told keeps its own. */
function finely(states: readonly NodeState[], directions: Directions): Directions {
  return new Map(states.map((state) => [state.id, directions.get(state.id) || direction(state, FINE)]));
}

/** Whether a node goes on leaving rest while none of its causes pushes it that way. */
function isUnexplained(state: NodeState, own: Causes, edges: readonly Link[]): boolean {
  if (own.balance || own.support.length + own.drugs.length > 0 || edges.every((edge) => edge.to !== state.id)) return false;
  return state.leaving;
}

function causesOf(id: string, edges: readonly Link[], given: readonly DrugEdge[], directions: Directions): Causes {
  const way = directions.get(id)!;
  const { up, down } = pushes(edges, id, directions);
  const own = given.filter((edge) => edge.to === id);
  if (way === 0) return { support: up, against: down, drugs: [], opposed: [], balance: up.length > 0 && down.length > 0 };
  const drugs = own.filter((edge) => edge.sign === way);
  return { support: way > 0 ? up : down, against: way > 0 ? down : up, drugs, opposed: own.filter((edge) => edge.sign !== way), balance: false };
}

/** Nodes so that causes come before effects, else in the order given; what stands in a circle comes last. */
export function inOrder(nodes: readonly string[], edges: readonly { from: string; to: string }[]): string[] {
  const left = [...nodes];
  const done: string[] = [];
  while (left.length > 0) {
    const free = left.findIndex((id) => edges.every((edge) => edge.to !== id || edge.from === id || !left.includes(edge.from)));
    done.push(...left.splice(Math.max(0, free), 1));
  }
  return done;
}

/** What a cause does to a node that follows it: "raises", "lets ... rise". */
function verb(edge: Link, directions: Directions, many: boolean): string {
  const up = directions.get(edge.from)! > 0;
  return `${up ? (edge.sign > 0 ? "raise" : "lower") : "let"}${many ? "" : "s"}`;
}

function target(state: NodeState, edge: Link, directions: Directions): Phrase[] {
  const rise = directions.get(edge.from)! * edge.sign > 0;
  const lets = directions.get(edge.from)! < 0 ? (rise ? " rise" : " fall") : "";
  return [{ text: `${state.name}${lets}${measure(state, "to")}`, strong: true }];
}

function goesOn(edge: Link, state: NodeState, states: ReadonlyMap<string, NodeState>, directions: Directions, begun: Set<string>): Phrase[] {
  const also = begun.has(edge.from) ? "also " : "";
  const subject = states.get(edge.from)!;
  return [{ text: `${subject.name} ${also}${verb(edge, directions, isMany(subject.name))} ` }, ...target(state, edge, directions)];
}

function standsAlone(
  id: string,
  own: Causes,
  state: NodeState,
  states: ReadonlyMap<string, NodeState>,
  directions: Directions,
  telling: Telling,
): Phrase[] {
  const it = isMany(state.name) ? "them" : "it";
  const label = (from: string) => states.get(from)!.name;
  const doing = (edges: Link[], would: boolean) => together(edges, (edge) => label(edge.from), (edge, many) => does(edge, directions, would, many, it));
  if (own.balance) {
    const parts = [...doing(own.support, true), ...doing(own.against, false)];
    return [{ text: `${state.name} stays near rest${measure(state, "at")}`, strong: true }, { text: `: ${list(parts)}` }];
  }
  const who = (drugs: DrugEdge[]) => list(drugs.map((edge) => telling.titles[edge.drug] ?? edge.drug));
  const keeps = own.opposed.length > 0 ? [`${who(own.opposed)} keep${own.opposed.length > 1 ? "" : "s"} ${it} ${own.opposed[0].sign > 0 ? "up" : "down"}`] : [];
  const others = [...doing(own.against, false), ...keeps];
  const against = others.length > 0 ? `; against that, ${list(others)}` : "";
  if (own.support.length === 0 && own.drugs.length > 0) {
    const up = directions.get(id)! > 0;
    const verb = state.kind === "points" ? (up ? "raises" : "lowers") : up ? "brings" : "takes";
    const to = up || state.kind === "points" ? "to" : "down to";
    return [{ text: `${who(own.drugs)} ${own.drugs.length > 1 ? verb.slice(0, -1) : verb} ` }, { text: `${state.name}${measure(state, to)}`, strong: true }, { text: against }];
  }
  if (own.support.length === 0) {
    const open = isUnexplained(state, own, telling.edges);
    const still = !open && telling.edges.some((edge) => edge.to === id) ? "still " : "";
    const more = open ? `; no edge of this mechanism explains that now${others.length > 0 ? `: ${list(others)}` : ""}` : others.length > 0 ? `, though ${list(others)}` : "";
    return [{ text: `${state.name} ${are(state)} ${still}${measure(state, "at").trim()}`, strong: true }, { text: more }];
  }
  const why = [...own.drugs.map((edge) => `${telling.titles[edge.drug] ?? edge.drug} acts on ${it}`), ...doing(own.support, false)];
  return [{ text: `${state.name} ${are(state)} ${measure(state, "at").trim()}`, strong: true }, { text: `: ${list(why)}${against}` }];
}

/** Causes that do the same in one clause: "A and B hold it down". */
function together(edges: Link[], name: (edge: Link) => string, does: (edge: Link, many: boolean) => string): string[] {
  const same = new Map<string, Link[]>();
  for (const edge of edges) same.set(does(edge, true), [...(same.get(does(edge, true)) ?? []), edge]);
  return [...same.values()].map((group) => `${list(group.map(name))} ${does(group[0], group.length > 1 || isMany(name(group[0])))}`);
}

/** Whether a node's name is a plural: "mu receptors held by an antagonist". */
function isMany(name: string): boolean {
  return / receptors /.test(name);
}

function are(state: NodeState): string {
  return isMany(state.name) ? "are" : "is";
}

function does(edge: Link, directions: Directions, would: boolean, many: boolean, it: string): string {
  const up = directions.get(edge.from)! > 0;
  const s = many ? "" : "s";
  if (up && edge.sign > 0) return would ? `would raise ${it}` : `raise${s} ${it}`;
  if (up) return would ? `would lower ${it}` : `hold${s} ${it} down`;
  const way = edge.sign > 0 ? "fall" : "rise";
  return would ? `would let ${it} ${way}` : `let${s} ${it} ${way}`;
}

function measure(state: NodeState, word: string): string {
  if (state.kind !== "points") return ` ${word} ${write(state.kind, state.value, state.unit, state.rest)}${state.kind === "relative" ? " rest" : ""}`;
  const points = Math.abs(state.value - state.rest).toFixed(1);
  if (word === "at") return ` ${points} points ${state.value < state.rest ? "lower" : "higher"} than without drugs`;
  return ` by ${points} points`;
}

function list(parts: string[]): string {
  if (parts.length < 2) return parts.join("");
  return `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}

function capital(sentence: Phrase[]): Phrase[] {
  const [first, ...rest] = sentence.filter((phrase) => phrase.text !== "");
  // "mTORC1" and "cAMP" keep their first letter
  const text = /^[a-z][A-Z]/.test(first.text) ? first.text : first.text.charAt(0).toUpperCase() + first.text.slice(1);
  return [{ ...first, text }, ...rest];
}
