/** Files that a reader takes away: curves as CSV, model texts, pictures. */

import type { Curve, Curves } from "./curves.ts";

/** Curves as CSV: time_h, arm, then the outputs, every double in the shortest form that reads back to the same bits. */
export function curvesCsv(curves: Curves, outputs: readonly string[]): string {
  const arms: [string, Curve | null][] = [
    ["scene", curves.scene],
    ["without", curves.without],
    ["no_drug", curves.none],
  ];
  const rows = [["time_h", "arm", ...outputs].join(",")];
  for (const [arm, curve] of arms) {
    if (curve === null) continue;
    curves.times.forEach((time, i) => rows.push([number(time), arm, ...outputs.map((output) => number(curve[output]?.[i]))].join(",")));
  }
  return `${rows.join("\n")}\n`;
}

function number(value: number | undefined): string {
  if (value === undefined) return "";
  return Object.is(value, -0) ? "-0" : String(value);
}

/** A file's name from what it shows; nothing but letters, digits, "-" and "_". */
export function fileName(parts: readonly string[], extension: string): string {
  const stem = parts.map((part) => part.replace(/[^A-Za-z0-9_]+/g, "-").replace(/^-+|-+$/g, "")).filter(Boolean).join("_");
  return `${stem || "antagony"}.${extension}`;
}
