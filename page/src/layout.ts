/** Layout of a causal graph from top to bottom: layers by longest path, order by barycentre, positions by least squares.
 *
 * Pure and deterministic: the same graph and width give the same picture. Text keeps its size; a narrow picture gets
 * narrower, taller nodes instead of smaller letters.
 */

import { settle } from "./scales.ts";

export interface GraphNode {
  id: string;
  label: string;
  drug?: boolean; // a pill at the top: one line, no value
}

export interface GraphEdge {
  from: string;
  to: string;
  sign: 1 | -1;
}

export interface PlacedNode extends GraphNode {
  x: number; // of the centre
  y: number;
  width: number;
  height: number;
  lines: string[]; // the label, broken
  layer: number;
}

export interface PlacedEdge extends GraphEdge {
  path: string;
  head: string; // path of the arrow's tip or of the bar
}

export interface Layout {
  width: number;
  height: number;
  nodes: PlacedNode[];
  edges: PlacedEdge[];
}

const LINE = 15; // px
const WIDEST = 150;
const NARROW = 420;

/** Room between neighbours [px]. */
function gapOf(width: number): number {
  return width < NARROW ? 6 : 10;
}

export type Measure = (text: string) => number;

const roughly: Measure = (text) => text.length * 7.2;

/** A node, or a place kept free where an edge crosses a layer. */
interface Place {
  id: string;
  layer: number;
  width: number;
  node: boolean;
  x: number;
  up: Place[];
  down: Place[];
}

/** `measure`: width of a text as it will be drawn [px]. */
export function layOut(nodes: GraphNode[], edges: GraphEdge[], width: number, measure: Measure = roughly): Layout {
  const layers = layersOf(nodes, edges);
  const sizes = new Map(nodes.map((node) => [node.id, sizeOf(node, layers, width, measure)]));
  const places = placesOf(nodes, edges, layers, sizes);
  order(places.rows);
  position(places.rows, width);
  centre(places.rows, width);
  const tops = topsOf(nodes, layers, sizes, places.rows.length, width);
  const placed = nodes.map((node) => {
    const layer = layers.get(node.id)!;
    const size = sizes.get(node.id)!;
    const x = places.byId.get(node.id)!.x;
    return { ...node, ...size, x: round(x), y: tops.centre[layer], layer };
  });
  const byId = new Map(placed.map((node) => [node.id, node]));
  const drawn = edges.map((edge) => {
    const through = places.chains.get(edge)!.map((place) => ({ x: place.x, y: tops.centre[place.layer] }));
    return { ...edge, ...draw(byId.get(edge.from)!, byId.get(edge.to)!, through, edge.sign, ports(edge, edges, byId)) };
  });
  return { width, height: tops.height, nodes: placed, edges: drawn };
}

/** Layer of each node: the longest way from a node without a cause. Edges that close a circle are passed over. */
export function layersOf(nodes: GraphNode[], edges: GraphEdge[]): Map<string, number> {
  const layers = new Map<string, number>();
  const open = new Set<string>();
  const visit = (id: string): number => {
    const known = layers.get(id);
    if (known !== undefined) return known;
    if (open.has(id)) return -1;
    open.add(id);
    const causes = edges.filter((edge) => edge.to === id).map((edge) => visit(edge.from));
    open.delete(id);
    const layer = Math.max(-1, ...causes) + 1;
    layers.set(id, layer);
    return layer;
  };
  const drugs = nodes.some((node) => node.drug);
  for (const node of nodes) visit(node.id);
  for (const node of nodes) {
    // what no drug moves here stands beside what one moves, under the row of drugs
    if (drugs && !node.drug && layers.get(node.id) === 0) layers.set(node.id, 1);
  }
  let changed = true;
  while (changed) {
    changed = false;
    for (const edge of edges) {
      const least = layers.get(edge.from)! + 1;
      if (layers.get(edge.to)! < least && least < nodes.length) {
        layers.set(edge.to, least);
        changed = true;
      }
    }
  }
  return layers;
}

interface Size {
  width: number;
  height: number;
  lines: string[];
}

function sizeOf(node: GraphNode, layers: Map<string, number>, width: number, measure: Measure): Size {
  const layer = layers.get(node.id)!;
  const beside = [...layers.values()].filter((other) => other === layer).length;
  const room = Math.min(WIDEST, (width - gapOf(width) * (beside - 1)) / beside);
  const lines = wrap(node.label, room - 12, measure);
  const longest = Math.max(...lines.map((line) => measure(line)));
  const wanted = node.drug ? Math.max(80, Math.ceil(longest * 1.15 + 30)) : Math.max(84, Math.ceil(longest + 18));
  return { width: Math.min(room, wanted), height: (lines.length + (node.drug ? 0 : 1)) * LINE + 11, lines };
}

/** Words on as few lines as fit; a word longer than a line stays whole. */
export function wrap(text: string, room: number, measure: Measure = roughly): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (last >= 0 && measure(`${lines[last]} ${word}`) <= room) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

function placesOf(nodes: GraphNode[], edges: GraphEdge[], layers: Map<string, number>, sizes: Map<string, Size>) {
  const count = Math.max(...layers.values()) + 1;
  const rows: Place[][] = Array.from({ length: count }, () => []);
  const byId = new Map<string, Place>();
  const chains = new Map<GraphEdge, Place[]>();
  const add = (id: string, layer: number, width: number, node: boolean): Place => {
    const place = { id, layer, width, node, x: 0, up: [], down: [] };
    rows[layer].push(place);
    return place;
  };
  for (const node of nodes) byId.set(node.id, add(node.id, layers.get(node.id)!, sizes.get(node.id)!.width, true));
  for (const edge of edges) {
    const chain: Place[] = [];
    let before = byId.get(edge.from)!;
    const last = byId.get(edge.to)!;
    for (let layer = before.layer + 1; layer < last.layer; layer++) {
      const place = add(`${edge.from}>${edge.to}@${layer}`, layer, 8, false);
      link(before, place);
      chain.push(place);
      before = place;
    }
    link(before, last);
    chains.set(edge, chain);
  }
  return { rows, byId, chains };
}

function link(upper: Place, lower: Place): void {
  upper.down.push(lower);
  lower.up.push(upper);
}

/** Barycentre sweeps down and up; the order with the fewest crossings is kept. */
function order(rows: Place[][]): void {
  let best = rows.map((row) => [...row]);
  let fewest = crossings(rows);
  for (let sweep = 0; sweep < 12 && fewest > 0; sweep++) {
    const down = sweep % 2 === 0;
    const turn = down ? rows : [...rows].reverse();
    for (const row of turn) {
      const rank = new Map(rows.flatMap((other) => other.map((place, i) => [place, i / Math.max(1, other.length - 1)] as const)));
      const key = (place: Place) => {
        const near = down ? place.up : place.down;
        return near.length ? near.reduce((sum, other) => sum + rank.get(other)!, 0) / near.length : rank.get(place)!;
      };
      const keys = new Map(row.map((place, i) => [place, { key: key(place), i }]));
      row.sort((a, b) => keys.get(a)!.key - keys.get(b)!.key || keys.get(a)!.i - keys.get(b)!.i);
    }
    const now = crossings(rows);
    if (now < fewest) {
      fewest = now;
      best = rows.map((row) => [...row]);
    }
  }
  best.forEach((row, i) => (rows[i] = row));
}

/** How many pairs of edges cross between neighbouring rows. */
function crossings(rows: Place[][]): number {
  let count = 0;
  for (let i = 0; i + 1 < rows.length; i++) {
    const rank = new Map(rows[i + 1].map((place, k) => [place, k]));
    const ends = rows[i].flatMap((place, k) => place.down.map((lower) => [k, rank.get(lower)!]));
    for (let a = 0; a < ends.length; a++)
      for (let b = a + 1; b < ends.length; b++) if ((ends[a][0] - ends[b][0]) * (ends[a][1] - ends[b][1]) < 0) count++;
  }
  return count;
}

/** Each row in its order, each place near its neighbours above and below, none over another. */
function position(rows: Place[][], width: number): void {
  for (const row of rows) {
    const even = row.map((_, i) => ((i + 0.5) / row.length) * width);
    seat(row, even, width);
  }
  for (let sweep = 0; sweep < 16; sweep++) {
    const turn = sweep % 2 === 0 ? rows : [...rows].reverse();
    for (const row of turn) {
      const wished = row.map((place) => {
        const near = [...place.up, ...place.down];
        return near.length ? near.reduce((sum, other) => sum + other.x, 0) / near.length : place.x;
      });
      seat(row, wished, width);
    }
  }
}

/** The whole picture to the middle of the width. */
function centre(rows: Place[][], width: number): void {
  const all = rows.flat();
  const low = Math.min(...all.map((place) => place.x - place.width / 2));
  const high = Math.max(...all.map((place) => place.x + place.width / 2));
  for (const place of all) place.x += (width - low - high) / 2;
}

function seat(row: Place[], wished: number[], width: number): void {
  if (row.length === 0) return;
  const rooms = row.map((place) => place.width + gapOf(width));
  const limits: [number, number] = [row[0].width / 2, width - row[row.length - 1].width / 2];
  settle(wished, rooms, limits).forEach((x, i) => (row[i].x = x));
}

function topsOf(nodes: GraphNode[], layers: Map<string, number>, sizes: Map<string, Size>, count: number, width: number) {
  const between = width < NARROW ? 28 : 24;
  const centre: number[] = [];
  let top = 2;
  for (let layer = 0; layer < count; layer++) {
    const heights = nodes.filter((node) => layers.get(node.id) === layer).map((node) => sizes.get(node.id)!.height);
    const height = Math.max(...heights, 0);
    centre.push(round(top + height / 2));
    top += height + between;
  }
  return { centre, height: Math.ceil(top - between + 2) };
}

/** Where an edge leaves and arrives [px from the centre], so that edges of one node do not share a point. */
function ports(edge: GraphEdge, edges: GraphEdge[], byId: Map<string, PlacedNode>): [number, number] {
  const share = (own: GraphEdge[], end: PlacedNode, other: (e: GraphEdge) => PlacedNode) => {
    const sorted = own.map((e, i) => ({ e, i, x: other(e).x })).sort((a, b) => a.x - b.x || a.i - b.i);
    const rank = sorted.findIndex(({ e }) => e === edge);
    return sorted.length < 2 ? 0 : (rank / (sorted.length - 1) - 0.5) * Math.min(end.width * 0.56, 26 * (sorted.length - 1));
  };
  const from = byId.get(edge.from)!;
  const to = byId.get(edge.to)!;
  return [
    share(edges.filter((e) => e.from === edge.from), from, (e) => byId.get(e.to)!),
    share(edges.filter((e) => e.to === edge.to), to, (e) => byId.get(e.from)!),
  ];
}

function draw(from: PlacedNode, to: PlacedNode, through: { x: number; y: number }[], sign: 1 | -1, [leave, arrive]: [number, number]) {
  const start = { x: from.x + leave, y: from.y + from.height / 2 + 1 };
  const tip = { x: to.x + arrive, y: to.y - to.height / 2 - 2 };
  const end = { x: tip.x, y: tip.y - (sign > 0 ? 7 : 3) };
  let path = `M${round(start.x)},${round(start.y)}`;
  let before = start;
  for (const next of [...through, end]) {
    const middle = (before.y + next.y) / 2;
    path += `C${round(before.x)},${round(middle)} ${round(next.x)},${round(middle)} ${round(next.x)},${round(next.y)}`;
    before = next;
  }
  const x = round(tip.x);
  const y = round(tip.y);
  const head = sign > 0 ? `M${x},${y}l-5,-9h10z` : `M${round(x - 8)},${round(y - 3)}h16v3h-16z`;
  return { path, head };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
