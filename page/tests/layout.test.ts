import assert from "node:assert/strict";
import { test } from "node:test";
import { layersOf, layOut, wrap } from "../src/layout.ts";
import { dice, mechanism } from "./example.ts";

const nodes = [...new Set(mechanism.edges.flatMap((edge) => [edge.from, edge.to]))].map((id) => ({ id, label: `${id} of it` }));

function random(seed: number) {
  const roll = dice(seed);
  const count = 4 + Math.floor(roll() * 10);
  const nodes = Array.from({ length: count }, (_, i) => ({ id: `n${i}`, label: roll() < 0.5 ? "short" : "a longer label", drug: false }));
  const edges: { from: string; to: string; sign: 1 | -1 }[] = [];
  for (let to = 1; to < count; to++) for (let from = 0; from < to; from++) if (roll() < 0.25) edges.push({ from: `n${from}`, to: `n${to}`, sign: roll() < 0.5 ? 1 : -1 });
  return { nodes, edges };
}

test("a node stands one below the lowest of its causes", () => {
  const layers = layersOf(nodes, mechanism.edges);
  assert.deepEqual(Object.fromEntries(layers), { block: 0, activity: 1, held: 0, tone: 1, brake: 2, signal: 3, score: 4 });
});

test("a circle of edges ends, too", () => {
  const circle = [
    { from: "a", to: "b", sign: 1 as const },
    { from: "b", to: "a", sign: -1 as const },
  ];
  const layout = layOut([{ id: "a", label: "a" }, { id: "b", label: "b" }], circle, 300);
  assert.equal(layout.nodes.length, 2);
  assert.ok(layout.nodes.every((node) => Number.isFinite(node.x) && Number.isFinite(node.y)));
});

test("the same graph gives the same picture", () => {
  assert.deepEqual(layOut(nodes, mechanism.edges, 520), layOut(nodes, mechanism.edges, 520));
});

for (const width of [300, 350, 520, 640]) {
  test(`at ${width} px no node lies over another or outside, and effects stand below causes`, () => {
    for (let seed = 1; seed < 60; seed++) {
      const graph = random(seed);
      const layout = layOut(graph.nodes, graph.edges, width);
      assert.equal(layout.edges.length, graph.edges.length);
      const at = new Map(layout.nodes.map((node) => [node.id, node]));
      for (const edge of graph.edges) {
        const [from, to] = [at.get(edge.from)!, at.get(edge.to)!];
        assert.ok(from.y + from.height / 2 < to.y - to.height / 2);
      }
      const widest = Math.max(...[...new Set(layout.nodes.map((node) => node.layer))].map((layer) => layout.nodes.filter((node) => node.layer === layer).length));
      if (widest > width / 90) continue; // too many side by side for that width
      for (const a of layout.nodes) {
        assert.ok(a.y + a.height / 2 <= layout.height);
        for (const b of layout.nodes) {
          if (a.id >= b.id || a.layer !== b.layer) continue;
          assert.ok(Math.abs(a.x - b.x) >= (a.width + b.width) / 2, `${a.id} over ${b.id}, seed ${seed}`);
        }
      }
    }
  });
}

test("drugs stand in a row of their own, and what no drug moves stands beside what one does", () => {
  const layout = layOut(
    [{ id: "drug:x", label: "x", drug: true }, ...nodes],
    [{ from: "drug:x", to: "block", sign: 1 as const }, ...mechanism.edges],
    520,
  );
  const layer = (id: string) => layout.nodes.find((node) => node.id === id)!.layer;
  assert.equal(layer("drug:x"), 0);
  assert.equal(layer("block"), 1);
  assert.equal(layer("held"), 1);
});

test("labels break between words only", () => {
  assert.deepEqual(wrap("mu: opioid drug", 80, (text) => 7 * text.length), ["mu: opioid", "drug"]);
  assert.deepEqual(wrap("hydroxynorketamine", 20, (text) => 7 * text.length), ["hydroxynorketamine"]);
});
