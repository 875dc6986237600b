/** The arms of a scene: with all its drugs at the amounts chosen, without its antagonist, without any drug. */

import type { Control, Dose, Facts, Scene } from "./data.ts";

/** Amounts of a scene's own doses, in their order. */
export function ownAmounts(scene: Scene): number[] {
  return scene.doses.map((dose) => dose.amount);
}

export function withAmounts(scene: Scene, amounts: readonly number[]): Dose[] {
  return scene.doses.map((dose, i) => ({ ...dose, amount: amounts[i] })).filter((dose) => dose.amount > 0);
}

export function isAntagonist(facts: Facts, dose: Dose): boolean {
  return facts.drugs[dose.drug]?.antagonist ?? false;
}

/** Drugs of a scene in the order of their first dose. */
export function drugsOf(scene: Scene): string[] {
  return [...new Set(scene.doses.map((dose) => dose.drug))];
}

/** The antagonist that a ghost curve leaves out: present only beside another drug, for without both it is "no drug". */
export function antagonistOf(facts: Facts, scene: Scene): string | null {
  const drugs = drugsOf(scene);
  const antagonist = drugs.find((drug) => facts.drugs[drug]?.antagonist);
  return antagonist !== undefined && drugs.length > 1 ? antagonist : null;
}

export interface Arms {
  scene: Dose[];
  without: Dose[] | null;
  none: Dose[];
}

export function armsOf(facts: Facts, scene: Scene, amounts: readonly number[]): Arms {
  const doses = withAmounts(scene, amounts);
  const antagonist = antagonistOf(facts, scene);
  return { scene: doses, without: antagonist === null ? null : doses.filter((dose) => dose.drug !== antagonist), none: [] };
}

/** Doses that a control may be set to [unit of the control], ascending; null where it moves in steps. */
export function allowedAmounts(control: Control): number[] | null {
  if (control.allowed === null) return null;
  return [...new Set([0, ...control.allowed])].filter((amount) => amount === 0 || amount >= control.low).sort((a, b) => a - b);
}

/** The nearest amount that a control may have; null for what is no amount of it. */
export function snap(control: Control, amount: number): number | null {
  if (!Number.isFinite(amount) || amount < 0 || amount > control.high * (1 + 1e-9)) return null;
  const allowed = allowedAmounts(control);
  if (allowed) return allowed.reduce((best, next) => (Math.abs(next - amount) < Math.abs(best - amount) ? next : best));
  if (amount === 0) return 0;
  const steps = Math.round((amount - control.low) / control.step);
  return Number(Math.min(control.high, Math.max(control.low, control.low + steps * control.step)).toPrecision(10));
}

/** The scene that adds an antagonist to this one: the same other drugs, and one more drug, an antagonist. */
export function sceneWithAntagonist(facts: Facts, scene: Scene): Scene | null {
  if (drugsOf(scene).some((drug) => facts.drugs[drug]?.antagonist)) return null;
  const own = drugsOf(scene).join();
  const others = (other: Scene) => drugsOf(other).filter((drug) => !facts.drugs[drug]?.antagonist).join();
  return facts.scenes.find((other) => antagonistOf(facts, other) !== null && others(other) === own) ?? null;
}

/** Which nodes each drug moves itself: it moves the node and none of the node's causes, now or at any other time. */
export interface DrugEdge {
  drug: string;
  to: string;
  sign: 1 | -1;
}

/** Doses of a scene cut down to ask what each drug does: alone; and an antagonist also by what the rest does without it. */
export function probesOf(facts: Facts, scene: Scene): { arms: Dose[][]; pairs: { drug: string; more: number; less: number }[] } {
  const doses = scene.doses.filter((dose) => dose.amount > 0);
  const arms: Dose[][] = [[], doses];
  const pairs: { drug: string; more: number; less: number }[] = [];
  for (const drug of drugsOf(scene)) {
    pairs.push({ drug, more: arms.push(doses.filter((dose) => dose.drug === drug)) - 1, less: 0 });
    if (drug === antagonistOf(facts, scene)) pairs.push({ drug, more: 1, less: arms.push(doses.filter((dose) => dose.drug !== drug)) - 1 });
  }
  return { arms, pairs };
}

/** Edges from drugs to the nodes that they move themselves, given the way each pair of arms moves each node.
 *
 * `stirred`: nodes that move at all, by less than is worth a word; what has such a cause is not moved by the drug itself.
 */
export function drugEdges(
  edges: readonly { from: string; to: string }[],
  nodes: readonly string[],
  moved: readonly { drug: string; directions: ReadonlyMap<string, -1 | 0 | 1>; stirred: ReadonlySet<string> }[],
): DrugEdge[] {
  const ancestors = (id: string, seen = new Set<string>()): Set<string> => {
    for (const edge of edges) {
      if (edge.to !== id || seen.has(edge.from)) continue;
      seen.add(edge.from);
      ancestors(edge.from, seen);
    }
    return seen;
  };
  const found = new Map<string, DrugEdge>();
  for (const { drug, directions, stirred } of moved) {
    for (const to of nodes) {
      const sign = directions.get(to) ?? 0;
      if (sign === 0 || found.has(`${drug}>${to}`)) continue;
      if ([...ancestors(to)].some((cause) => stirred.has(cause))) continue;
      found.set(`${drug}>${to}`, { drug, to, sign });
    }
  }
  return [...found.values()];
}
