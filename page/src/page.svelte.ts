/** The page's state: what is chosen, the curves that follow from it, and the work done while nobody waits. */

import { type Place, type Theme, readAddress, writeAddress } from "./address.ts";
import { type Band, Bands } from "./bands.ts";
import { type Curve, type Curves, isLeaving, moved, panelsOf, reachOf, spanOf } from "./curves.ts";
import type { Facts, Mechanism, Scene } from "./data.ts";
import { antagonistOf, armsOf, drugEdges, drugsOf, type DrugEdge, ownAmounts, probesOf, sceneWithAntagonist } from "./regimens.ts";
import { kneeOf, type Scale, timeScale, valueAt } from "./scales.ts";
import { type Run, Simulator } from "./simulation.ts";
import { kindOf, labelOf, nameOf, nodesOf, type NodeState, outputOf, outputsOf } from "./states.ts";

const BUDGET = 7; // ms of a slice of idle work
const PLAY = 12000; // ms from the beginning of a scene to its end

export class Page {
  readonly facts: Facts;
  private readonly packed: Record<string, string>;
  private readonly opening = new Map<string, Promise<void>>();
  private simulators = $state.raw<Record<string, Simulator>>({});
  private runs = new Map<string, Curves | string>();
  private rests = new Map<string, Curve>(); // without any drug, by mechanism and scene
  private edges = new Map<string, DrugEdge[]>();
  private remembered: Record<number, number> = {}; // an antagonist's dose while it is switched off

  mechanismId = $state("");
  compareId = $state<string | null>(null);
  sceneId = $state("");
  amounts = $state.raw<number[]>([]);
  time = $state(0);
  bandsOn = $state(false);
  embed = $state(false);
  theme = $state<Theme>(null);
  playing = $state(false);
  notes = $state.raw<string[]>([]);
  bands = $state.raw<Record<string, Band> | null>(null);
  bandsFailed = $state(0);
  touched = $state(false); // whether the reader has added the antagonist or taken another rival: hints follow

  readonly scene: Scene = $derived.by(() => this.facts.scenes.find((scene) => scene.id === this.sceneId)!);
  readonly mechanism: Mechanism = $derived.by(() => this.byId(this.mechanismId));
  readonly compared: Mechanism | null = $derived.by(() => (this.compareId === null ? null : this.byId(this.compareId)));
  readonly own: boolean = $derived.by(() => this.amounts.every((amount, i) => amount === this.scene.doses[i].amount));
  readonly antagonist: string | null = $derived.by(() => antagonistOf(this.facts, this.scene));
  readonly antagonistOn: boolean = $derived.by(() => this.scene.doses.some((dose, i) => dose.drug === this.antagonist && this.amounts[i] > 0));
  readonly knee: number = $derived.by(() => kneeOf(this.scene.times[this.scene.times.length - 1]));
  private readonly outcome: Curves | string | null = $derived.by(() => this.simulate(this.mechanism, this.scene, this.amounts));
  readonly curves: Curves | null = $derived.by(() => (typeof this.outcome === "string" ? null : this.outcome));
  readonly comparedCurves: Curves | null = $derived.by(() => {
    const outcome = this.compared ? this.simulate(this.compared, this.scene, this.amounts) : null;
    return typeof outcome === "string" ? null : outcome;
  });
  /** Why there are no curves, or why they end early. */
  readonly problem: string | null = $derived.by(() => (typeof this.outcome === "string" ? this.outcome : (this.outcome?.failure ?? null)));
  /** The mechanism chosen and, where there is one, that beside it. */
  readonly pair: Mechanism[] = $derived.by(() => (this.compared ? [this.mechanism, this.compared] : [this.mechanism]));
  readonly shown: { mechanism: Mechanism; curves: Curves }[] = $derived.by(() => {
    const list: { mechanism: Mechanism; curves: Curves }[] = [];
    if (this.curves) list.push({ mechanism: this.mechanism, curves: this.curves });
    if (this.compared && this.comparedCurves) list.push({ mechanism: this.compared, curves: this.comparedCurves });
    return list;
  });
  /** States of each mechanism's nodes at the time shown; none where it has no curves. */
  readonly now: Record<string, NodeState[]> = $derived.by(() =>
    Object.fromEntries(this.shown.map(({ mechanism, curves }) => [mechanism.id, this.states(mechanism, curves)])),
  );
  readonly panels = $derived.by(() => panelsOf(this.facts, this.scene, this.shown.map(({ curves }) => curves), this.own, this.bandsOn ? this.bands : null));

  constructor(facts: Facts, packed: Record<string, string>, address: string) {
    this.facts = facts;
    this.packed = packed;
    this.go(address);
  }

  byId(id: string): Mechanism {
    return this.facts.mechanisms.find((mechanism) => mechanism.id === id)!;
  }

  /** Follow an address; what of it cannot be followed is noted. */
  go(address: string): void {
    const { place, notes } = readAddress(this.facts, address);
    this.notes = notes;
    this.set(place);
  }

  private set(place: Place): void {
    this.sceneId = place.scene;
    this.amounts = place.amounts;
    this.time = place.time;
    this.mechanismId = place.mechanism;
    this.compareId = place.compare;
    this.bandsOn = place.bands;
    this.embed = place.embed;
    this.theme = place.theme;
    this.remembered = {};
  }

  get address(): string {
    return writeAddress(this.facts, {
      mechanism: this.mechanismId,
      compare: this.compareId,
      scene: this.sceneId,
      amounts: this.amounts,
      time: Number(this.time.toPrecision(4)),
      bands: this.bandsOn,
      embed: this.embed,
      theme: this.theme,
    });
  }

  /** Open a mechanism's kernel once. */
  open(id: string): Promise<void> {
    let promise = this.opening.get(id);
    if (!promise) {
      promise = Simulator.open(this.facts, this.byId(id), this.packed[id] ?? "").then((simulator) => {
        this.simulators = { ...this.simulators, [id]: simulator };
      });
      this.opening.set(id, promise);
    }
    return promise;
  }

  isOpen(id: string): boolean {
    return id in this.simulators;
  }

  async choose(id: string): Promise<void> {
    if (!this.isOpen(id)) await this.open(id).catch((error) => this.note(`${this.byId(id).title} cannot run: ${message(error)}`));
    if (!this.isOpen(id)) return;
    if (this.compareId === id) this.compareId = this.mechanismId;
    if (id !== this.mechanismId) this.touched = true;
    this.mechanismId = id;
  }

  async compare(id: string | null): Promise<void> {
    if (id !== null) await this.open(id);
    this.compareId = id === this.mechanismId ? null : id;
  }

  enter(sceneId: string): void {
    const scene = this.facts.scenes.find((other) => other.id === sceneId)!;
    this.sceneId = sceneId;
    this.amounts = ownAmounts(scene);
    this.time = scene.opens;
    this.remembered = {};
    this.playing = false;
  }

  setAmount(dose: number, amount: number): void {
    this.amounts = this.amounts.map((other, i) => (i === dose ? amount : other));
  }

  reset(): void {
    this.amounts = ownAmounts(this.scene);
  }

  /** With or without the antagonist: its doses to 0 and back. In a scene without one: the scene that adds it. */
  switchAntagonist(): void {
    if (this.antagonist === null) {
      const other = sceneWithAntagonist(this.facts, this.scene);
      if (other) this.enter(other.id);
      return;
    }
    const on = this.antagonistOn;
    this.amounts = this.amounts.map((amount, i) => {
      if (this.scene.doses[i].drug !== this.antagonist) return amount;
      if (on) this.remembered[i] = amount;
      return on ? 0 : this.remembered[i] || this.scene.doses[i].amount;
    });
  }

  setTime(time: number): void {
    const { times } = this.scene;
    this.time = Math.min(times[times.length - 1], Math.max(times[0], time));
  }

  /** A step in time along the bent axis, as a share of its length. */
  step(share: number): void {
    this.playing = false;
    this.setTime(this.bent.invert(this.bent(this.time) + share));
  }

  private get bent(): Scale {
    const { times } = this.scene;
    return timeScale([times[0], times[times.length - 1]], [0, 1], this.knee);
  }

  /** Run through the scene; from its beginning where it stands at its end. Whoever wants no motion gets jumps. */
  play(on: boolean): void {
    if (!on || this.playing) {
      this.playing = on;
      return;
    }
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const { times } = this.scene;
    if (this.time >= times[times.length - 1]) this.setTime(times[0]);
    this.playing = true;
    let before = performance.now();
    const frame = (now: number) => {
      if (!this.playing) return;
      const passed = now - before;
      if (!calm || passed > 900) {
        before = now;
        this.setTime(this.bent.invert(Math.min(1, this.bent(this.time) + (calm ? 0.08 : passed / PLAY))));
        if (this.time >= times[times.length - 1] * 0.9999) this.playing = false;
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes = [...this.notes, text];
  }

  /** States of a mechanism's nodes at the time shown. */
  private states(mechanism: Mechanism, curves: Curves): NodeState[] {
    return nodesOf(mechanism).map((id) => {
      const output = outputOf(this.facts, id);
      const at = (curve: Curve) => (curve[output] ? valueAt(curves.times, curve[output], this.time) : NaN);
      const [value, rest] = [at(curves.scene), at(curves.none)];
      return {
        id,
        label: labelOf(this.facts, id),
        name: nameOf(this.facts, id),
        kind: kindOf(this.facts, id, curves.none[output]?.[0] ?? 0),
        value,
        rest,
        span: spanOf(curves, output),
        reached: reachOf(curves, output, this.time, value - rest),
        leaving: isLeaving(curves, output, this.time),
        unit: this.facts.outputs[output]?.unit ?? "",
      };
    });
  }

  /** What each drug of the scene moves itself, asked of the mechanism at the scene's own doses. */
  drugEdges(mechanism: Mechanism): DrugEdge[] {
    const key = `${mechanism.id} ${this.sceneId}`;
    const simulator = this.simulators[mechanism.id];
    if (!simulator) return [];
    let found = this.edges.get(key);
    if (!found) {
      const { arms, pairs } = probesOf(this.facts, this.scene);
      const outputs = outputsOf(this.facts, mechanism);
      const run = simulator.run(arms, this.scene.times, outputs);
      const nodes = nodesOf(mechanism).filter((id) => outputs.includes(outputOf(this.facts, id)));
      const way = (id: string, more: number, less: number, fine: number) => {
        const output = outputOf(this.facts, id);
        return moved(kindOf(this.facts, id, run.curve(0, output)[0]), run.curve(more, output), run.curve(less, output), fine);
      };
      const moves = pairs.map(({ drug, more, less }) => ({
        drug,
        directions: new Map(nodes.map((id) => [id, way(id, more, less, 1)])),
        stirred: new Set(nodes.filter((id) => way(id, more, less, 0.01) !== 0)),
      }));
      found = drugEdges(mechanism.edges, nodes, moves);
      this.edges.set(key, found);
    }
    return found;
  }

  get drugs(): string[] {
    return drugsOf(this.scene);
  }

  /** Whether a drug of the scene is given, by that time [h] or at all. */
  isGiven(drug: string, by = Infinity): boolean {
    return this.scene.doses.some((dose, i) => dose.drug === drug && this.amounts[i] > 0 && dose.time <= by);
  }

  /** Curves, or why there are none; null while the mechanism's kernel is not open. */
  private simulate(mechanism: Mechanism, scene: Scene, amounts: readonly number[]): Curves | string | null {
    const simulator = this.simulators[mechanism.id];
    if (!simulator) return null;
    const key = `${mechanism.id} ${scene.id} ${amounts.join()}`;
    const known = this.runs.get(key);
    if (known !== undefined) return known;
    let outcome: Curves | string;
    try {
      outcome = this.run(simulator, mechanism, scene, amounts);
    } catch (error) {
      outcome = message(error);
    }
    if (this.runs.size > 60) this.runs.delete(this.runs.keys().next().value!);
    this.runs.set(key, outcome);
    return outcome;
  }

  private run(simulator: Simulator, mechanism: Mechanism, scene: Scene, amounts: readonly number[]): Curves {
    const arms = armsOf(this.facts, scene, amounts);
    const outputs = outputsOf(this.facts, mechanism);
    const key = `${mechanism.id} ${scene.id}`;
    const rest = this.rests.get(key);
    const run = simulator.run([arms.scene, ...(arms.without ? [arms.without] : []), ...(rest ? [] : [arms.none])], scene.times, outputs);
    const arm = (index: number): Curve => Object.fromEntries(outputs.map((output) => [output, run.curve(index, output)]));
    const none = rest ?? arm(run.arms - 1);
    if (run.failures.length === 0) this.rests.set(key, none);
    return { times: scene.times, scene: arm(0), none, without: arms.without ? arm(1) : null, failure: failureOf(run) };
  }

  /** Work for idle moments, a generator of slices: bands if wanted, then the other kernels, then their curves. */
  *chores(): Generator<Promise<void> | undefined> {
    if (this.bandsOn) yield* this.bandChores();
    for (const { id } of this.facts.mechanisms) if (!this.isOpen(id)) yield this.open(id).catch(() => undefined);
    for (const mechanism of this.facts.mechanisms) {
      this.simulate(mechanism, this.scene, this.amounts);
      yield;
      if (this.isOpen(mechanism.id)) this.drugEdges(mechanism);
      yield;
    }
  }

  private *bandChores(): Generator<undefined> {
    const simulator = this.simulators[this.mechanismId];
    const curves = this.curves;
    if (!simulator || !curves) return;
    const outputs = [...new Set(this.panels.flatMap((panel) => panel.outputs))].filter((output) => curves.scene[output]);
    const arms = armsOf(this.facts, this.scene, this.amounts);
    const work = new Bands(simulator, arms.scene, this.scene.times, outputs, this.facts.patients.size);
    while (work.step(BUDGET)) yield;
    this.bands = work.result;
    this.bandsFailed = work.failed;
  }
}

function failureOf(run: Run): string | null {
  const [first] = run.failures;
  return first ? `The solver stopped at ${first.time.toPrecision(3)} h: ${first.advice}` : null;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
