import assert from "node:assert/strict";
import { test } from "node:test";
import type { DrugEdge } from "../src/regimens.ts";
import { inOrder, type Link, plain, tell } from "../src/sentence.ts";
import { direction, type NodeState } from "../src/states.ts";
import { dice, mechanism } from "./example.ts";

function state(id: string, value: number, more: Partial<NodeState> = {}): NodeState {
  return { id, label: id, name: id, kind: "relative", value, rest: 1, span: Math.abs(value - 1), reached: Math.max(more.span ?? 0, Math.abs(value - 1)), leaving: false, unit: "", ...more };
}

function say(states: NodeState[], edges: readonly Link[] = mechanism.edges, drugs: DrugEdge[] = []): string {
  return plain(tell({ lead: "1 h after lifter", states, edges, drugs, titles: { lifter: "lifter", blocker: "blocker" }, goal: "" }));
}

const share = { kind: "share" as const, rest: 0 };
const lifter = { drug: "lifter", to: "block", sign: 1 as const };
const blocker = { drug: "blocker", to: "held", sign: 1 as const };

test("a chain is told along its edges, with the words of their signs", () => {
  const text = say([state("block", 0.62, { ...share, span: 0.62 }), state("activity", 0.4), state("held", 0, { ...share, span: 0 }), state("tone", 1), state("brake", 1), state("signal", 1.8)], mechanism.edges, [lifter]);
  assert.equal(text, "1 h after lifter: lifter brings block to 62 %, which lowers activity to 0.40× rest, which lets signal rise to 1.8× rest.");
});

test("two causes that pull against each other are both told, even where the node stays at rest", () => {
  const states = (signal: number) => [state("block", 0.62, { ...share, span: 0.62 }), state("activity", 0.4), state("held", 0.95, { ...share, span: 0.95 }), state("tone", 0.1), state("brake", 1.6), state("signal", signal, { span: 1 })];
  assert.match(say(states(1.3), mechanism.edges, [lifter, blocker]), /Signal is at 1\.3× rest: activity lets it rise; against that, brake holds it down\./);
  assert.match(say(states(1.01), mechanism.edges, [lifter, blocker]), /Signal stays near rest at 1\.01× rest: activity would let it rise and brake holds it down\./);
});

test("an effect that outlasts its cause is still there, and no cause is given", () => {
  const text = say([state("activity", 1, { span: 0.6 }), state("signal", 1.5, { span: 0.8 })]);
  assert.equal(text, "1 h after lifter: signal is still at 1.5× rest.");
  const faded = say([state("activity", 0.96, { span: 0.6 }), state("signal", 1.5, { span: 0.8 })]);
  assert.doesNotMatch(faded, /lets signal/);
});

test("a cause that only begins is a cause, however far another arm goes", () => {
  const text = say([state("brake", 1.5, { span: 1 }), state("signal", 0.9, { span: 4, reached: 0.1 }), state("score", 30, { kind: "points", rest: 25, span: 9, reached: 6 })]);
  assert.match(text, /lowers signal to 0\.90× rest, which lets score rise by 5\.0 points\./);
  const less = say([state("signal", 0.99, { span: 4, reached: 0.01 }), state("score", 25.4, { kind: "points", rest: 25, span: 9, leaving: true })]);
  assert.equal(less, "1 h after lifter: signal lets score rise by 0.4 points.");
});

test("a node that leaves rest against all its edges is not still there, nor is it given a cause", () => {
  const low = { kind: "points" as const, rest: 25, span: 3 };
  const text = say([state("tone", 0.5), state("brake", 1.5), state("signal", 0.8), state("score", 23.7, { ...low, leaving: true })]);
  assert.match(text, /Score is 1\.3 points lower than without drugs; no edge of this mechanism explains that now: signal lets it rise\./);
  const back = say([state("tone", 0.5), state("brake", 1.5), state("signal", 0.8), state("score", 23.7, low)]);
  assert.match(back, /Score is still 1\.3 points lower than without drugs, though signal lets it rise\./);
});

test("a drug that pulls down what another holds up is told as against", () => {
  const text = say([state("block", 0.3, { ...share, span: 0.8 })], mechanism.edges, [lifter, { drug: "blocker", to: "block", sign: -1 }]);
  assert.equal(text, "1 h after lifter: lifter brings block to 30 %; against that, blocker keeps it down.");
});

test("the score is told in points against no drug", () => {
  const text = say([state("signal", 1.8), state("score", 16, { kind: "points", rest: 25, span: 9 })]);
  assert.match(text, /which lowers score by 9\.0 points/);
});

test("at rest nothing is claimed", () => {
  assert.equal(say([state("block", 0, { ...share, span: 0 }), state("activity", 1)]), "1 h after lifter: Nothing differs from rest.");
});

test("mTORC1 and cAMP keep their first letter", () => {
  const text = say([state("activity", 0.5), state("brake", 2, { name: "cAMP" }), state("signal", 1.4, { name: "mTORC1", span: 1 })]);
  assert.match(text, /\. cAMP is still at|\. mTORC1 is at/);
});

test("causes come before effects, else the order given stays", () => {
  assert.deepEqual(inOrder(["block", "activity", "signal", "held", "tone", "brake", "score"], mechanism.edges), ["block", "activity", "held", "tone", "brake", "signal", "score"]);
  assert.deepEqual(inOrder(["a", "b"], [{ from: "a", to: "b" }, { from: "b", to: "a" }]), ["a", "b"]);
});

// Every cause that a sentence names is an edge of the mechanism whose source departs, with the sign that fits. Names are
// single words of one length here, so that "A raises B" can be read back from the text.
test("no cause is told that the edges deny, over many random graphs and states", () => {
  let claims = 0;
  for (let seed = 1; seed <= 1200; seed++) {
    const roll = dice(seed);
    const names = ["Qa", "Qb", "Qc", "Qd", "Qe", "Qf", "Qg"];
    const edges: Link[] = [];
    for (let to = 1; to < names.length; to++) for (let from = 0; from < to; from++) if (roll() < 0.3) edges.push({ from: names[from], to: names[to], sign: roll() < 0.5 ? 1 : -1 });
    const states = names.map((name) => {
      const value = roll() < 0.3 ? 1 : 2 ** (3 * roll() - 1.5);
      return state(name, value, { span: Math.max(Math.abs(value - 1), roll()), leaving: roll() < 0.5 });
    });
    const [ways, told] = [0.01, 1].map((fine) => new Map(states.map((one) => [one.id, direction(one, fine)])));
    for (const sentence of tell({ lead: "now", states, edges, drugs: [], titles: {}, goal: "" })) {
      for (const [from, act, to, follows] of readClaims(sentence.map((phrase) => phrase.text).join(""))) {
        claims++;
        const edge = edges.find((other) => other.from === from && other.to === to);
        assert.ok(edge, `seed ${seed}: "${from} ${act} ${to}" is no edge`);
        assert.notEqual(ways.get(from), 0, `seed ${seed}: ${from} is at rest`);
        const push = edge.sign * ways.get(from)!;
        assert.equal(push > 0, /rais|rise/.test(act), `seed ${seed}: "${from} ${act} ${to}"`);
        assert.equal(push * told.get(to)! + 0, follows, `seed ${seed}: "${from} ${act} ${to}", but ${to} went the other way`);
      }
    }
  }
  assert.ok(claims > 1000, `only ${claims} claims were read back`);
});

/** Claims of a sentence: cause, what it does, node, and whether the node is said to follow (1), to go against it (-1), or to rest. */
function readClaims(text: string): [string, string, string, number][] {
  const found: [string, string, string, number][] = [];
  const body = text.replace(/^.*?: (?=Q\w (raises|lowers|lets|also|is|stays))/, "");
  const against = /^(Q\w) (?:is)[^:;]*(?:; no edge of this mechanism explains that now: |, though )(.*)$/.exec(body);
  const merged = against ? ["", against[1], "is", `; against that, ${against[2]}`] : /^(Q\w) (is|stays)[^:;]*: (.*)$/.exec(body);
  for (const [part, words] of merged ? merged[3].split("; against that, ").entries() : []) {
    const [, node, state] = merged!;
    for (const clause of words.split(/ and (?=Q\w (?:raise|lower|hold|let|would))|, (?=Q\w (?:raise|lower|hold|let|would))/)) {
      const act = /(would )?(raise|lower|hold|let)s? it ?(down|rise|fall)?/.exec(clause);
      if (!act) continue;
      for (const [name] of clause.slice(0, act.index).matchAll(/Q\w/g)) found.push([name, act[0], node, state === "stays" ? 0 : part === 0 ? 1 : -1]);
    }
  }
  if (merged) return found;
  const chain = body.split(", which ");
  const subject = /^(Q\w) (?:also )?(raises|lowers|lets) (Q\w)( rise| fall)?/.exec(chain[0]);
  let before = subject ? subject[3] : /^(Q\w) is/.exec(chain[0])?.[1];
  if (subject) found.push([subject[1], subject[2] + (subject[4] ?? ""), subject[3], 1]);
  for (const link of chain.slice(1)) {
    const next = /^(raises|lowers|lets) (Q\w)( rise| fall)?/.exec(link)!;
    found.push([before!, next[1] + (next[3] ?? ""), next[2], 1]);
    before = next[2];
  }
  return found;
}
