/** How probable a rival is, as a range over the stated priors: in words, and as a bar. */

import type { Span } from "./data.ts";

const THIN = 1.5; // % of a bar: the least that can be seen

/** "45 to 69 %", "35 %", "<1 %", "<1 to 3 %", ">99 %". */
export function percents({ low, high }: Span): string {
  const ends = [...new Set([percent(low), percent(high)])];
  return `${ends.join(" to ")} %`;
}

function percent(probability: number): string {
  if (probability < 0.0095) return "<1";
  return probability > 0.9905 && probability < 1 ? ">99" : (100 * probability).toFixed(0);
}

/** Where the range begins on a bar from 0 to 1, and how long it is [% of the bar]; never too thin to be seen, never beyond its end. */
export function barOf({ low, high }: Span): { from: number; length: number } {
  const length = Math.max(THIN, 100 * (high - low));
  return { from: Math.min(100 * low, 100 - length), length };
}

/** What a probability is that is shown: "range over 3 stated priors". */
export function rangeOver(priors: number): string {
  return priors === 1 ? "under one stated prior" : `range over ${priors} stated priors`;
}
