/** Scales and ticks of the curves: time by asinh (minutes, hours and days on one smooth axis), values linear. */

export interface Scale {
  (value: number): number;
  invert(pixel: number): number;
}

export function linear(domain: [number, number], range: [number, number]): Scale {
  const [d0, d1] = domain;
  const [r0, r1] = range;
  const slope = d1 === d0 ? 0 : (r1 - r0) / (d1 - d0);
  const scale = ((value: number) => r0 + (value - d0) * slope) as Scale;
  scale.invert = (pixel) => (slope === 0 ? d0 : d0 + (pixel - r0) / slope);
  return scale;
}

/** x = asinh(t / knee): near 0 linear, far out logarithmic. */
export function timeScale(domain: [number, number], range: [number, number], knee: number): Scale {
  const bent = linear([Math.asinh(domain[0] / knee), Math.asinh(domain[1] / knee)], range);
  const scale = ((hours: number) => bent(Math.asinh(hours / knee))) as Scale;
  scale.invert = (pixel) => Math.sinh(bent.invert(pixel)) * knee;
  return scale;
}

/** The knee [h] for a scene that lasts until then [h]: 0.8 for days, later for weeks, or the days would crowd. */
export function kneeOf(until: number): number {
  return until <= 240 ? 0.8 : until / 40;
}

// The times worth a tick, the most telling first.
const TICKS = [0, 1, 24, 4, 72, 168, 0.25, 336, 672, 1008, 12, 48, 2, 504, 0.5, -1, 8, 2016, -24];

/** Times [h] that get a tick, ascending, none closer to another than `room` pixels. */
export function timeTicks(scale: Scale, domain: [number, number], room: number): number[] {
  const taken: number[] = [];
  for (const tick of TICKS) {
    if (tick < domain[0] || tick > domain[1]) continue;
    if (taken.every((other) => Math.abs(scale(other) - scale(tick)) >= room)) taken.push(tick);
  }
  return taken.sort((a, b) => a - b);
}

/** A short time for an axis: "15 min", "4 h", "3 d". */
export function shortTime(hours: number): string {
  const size = Math.abs(hours);
  if (size === 0) return "0";
  if (size < 1) return `${trim(hours * 60)} min`;
  if (size < 24) return `${trim(hours)} h`;
  return `${trim(hours / 24)} d`;
}

/** A moment in words: "20 min before", "1 h after", "at day 3". */
export function moment(hours: number): string {
  const size = Math.abs(hours);
  const where = hours < 0 ? "before" : "after";
  if (size < 1 / 120) return "at the first dose";
  if (size < 1.75) {
    const minutes = Math.round(size * 60);
    return minutes === 60 ? `1 h ${where}` : `${minutes} min ${where}`;
  }
  if (size < 23.75) return `${trim(Math.round(size * 10) / 10)} h ${where}`;
  const days = Math.round((size / 24) * 10) / 10;
  return hours < 0 ? `${trim(days)} d before` : `day ${trim(days)}`;
}

function trim(value: number): string {
  return String(Number(value.toFixed(1)));
}

/** About `count` round numbers within the domain. */
export function ticks(domain: [number, number], count: number): number[] {
  const step = niceStep(domain, count);
  const first = Math.ceil(domain[0] / step - 1e-9);
  const last = Math.floor(domain[1] / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The domain widened to round numbers. */
export function nice(domain: [number, number], count: number): [number, number] {
  const step = niceStep(domain, count);
  const low = Math.floor(domain[0] / step + 1e-9) * step;
  const high = Math.ceil(domain[1] / step - 1e-9) * step;
  return [Number(low.toPrecision(12)), Number(high.toPrecision(12))];
}

function niceStep([low, high]: [number, number], count: number): number {
  const raw = (high - low || 1) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const lead = raw / power;
  return (lead > 7.07 ? 10 : lead > 3.16 ? 5 : lead > 1.41 ? 2 : 1) * power;
}

/** Position of a time between two of `times` (ascending): index of the one before, and the fraction on the way to the next. */
export function between(times: readonly number[], time: number): [number, number] {
  const last = times.length - 1;
  if (last < 1 || time <= times[0]) return [0, 0];
  if (time >= times[last]) return [last - 1, 1];
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle;
    else high = middle;
  }
  return [low, (time - times[low]) / (times[high] - times[low])];
}

/** Value of a curve at a time, linear between its points. */
export function valueAt(times: readonly number[], values: ArrayLike<number>, time: number): number {
  const [index, share] = between(times, time);
  if (share === 0) return values[index];
  return values[index] + (values[index + 1] - values[index]) * share;
}

/** Positions to a tenth of a pixel. Lines that share their times share these. */
export function pixels(values: readonly number[], scale: Scale): number[] {
  return values.map((value) => tenth(scale(value)));
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

const CLOSE = 0.15; // px between a curve and the line drawn for it: less than can be seen

/** SVG path through points, `across` from `pixels`; not a number breaks the line, and points on a straight way are left out. */
export function linePath(across: readonly number[], values: ArrayLike<number>, y: Scale): string {
  const heights = new Float64Array(across.length);
  for (let i = 0; i < heights.length; i++) heights[i] = y(values[i]);
  let path = "";
  for (let first = 0; first < heights.length; first++) {
    if (!Number.isFinite(heights[first])) continue;
    let last = first;
    while (Number.isFinite(heights[last + 1])) last++;
    path += `M${across[first]},${tenth(heights[first])}`;
    for (let i = first; i < last; ) {
      i = furthest(across, heights, i, last);
      path += `L${across[i]},${tenth(heights[i])}`;
    }
    first = last;
  }
  return path;
}

/** The furthest point that a straight line from another reaches while it passes all points between. */
function furthest(across: readonly number[], heights: Float64Array, from: number, last: number): number {
  let [low, high] = [-Infinity, Infinity]; // slopes that pass them
  for (let i = from + 1; i <= last; i++) {
    const run = across[i] - across[from];
    if (run === 0) return i;
    const slope = (heights[i] - heights[from]) / run;
    if (slope < low || slope > high) return i - 1;
    low = Math.max(low, slope - CLOSE / run);
    high = Math.min(high, slope + CLOSE / run);
  }
  return last;
}

/** SVG path of the area between two curves. */
export function bandPath(across: readonly number[], low: ArrayLike<number>, high: ArrayLike<number>, y: Scale): string {
  const points: string[] = [];
  for (let i = 0; i < across.length; i++) points.push(`${across[i]},${tenth(y(high[i]))}`);
  for (let i = across.length - 1; i >= 0; i--) points.push(`${across[i]},${tenth(y(low[i]))}`);
  return `M${points.join("L")}Z`;
}

/** Positions moved apart to keep `room` between neighbours, as near to where they were wished as that allows, within the limits. */
export function spread(wished: number[], room: number, limits: [number, number]): number[] {
  const order = wished.map((_, i) => i).sort((a, b) => wished[a] - wished[b] || a - b);
  const placed = settle(order.map((i) => wished[i]), order.map(() => room), limits);
  const result: number[] = new Array(wished.length);
  order.forEach((i, rank) => (result[i] = placed[rank]));
  return result;
}

/** Least-squares positions in the given order; neighbours at least the mean of their rooms apart (pool adjacent violators). */
export function settle(wished: number[], rooms: number[], limits: [number, number]): number[] {
  const offsets: number[] = [];
  for (let i = 0; i < wished.length; i++) offsets.push(i === 0 ? 0 : offsets[i - 1] + (rooms[i - 1] + rooms[i]) / 2);
  const blocks: { sum: number; count: number }[] = [];
  for (let i = 0; i < wished.length; i++) {
    blocks.push({ sum: wished[i] - offsets[i], count: 1 });
    while (blocks.length > 1 && mean(blocks[blocks.length - 2]) > mean(blocks[blocks.length - 1])) {
      const top = blocks.pop()!;
      blocks[blocks.length - 1].sum += top.sum;
      blocks[blocks.length - 1].count += top.count;
    }
  }
  const length = offsets.length === 0 ? 0 : offsets[offsets.length - 1];
  const highest = Math.max(limits[0], limits[1] - length);
  const bases = blocks.flatMap((block) => new Array(block.count).fill(Math.min(highest, Math.max(limits[0], mean(block)))));
  return bases.map((base, i) => base + offsets[i]);
}

function mean(block: { sum: number; count: number }): number {
  return block.sum / block.count;
}
