/** Published findings as the table shows them: which tell the rivals apart, in which order, in which words. */

import type { Facts, Finding } from "./data.ts";

/** Whether not all rivals agree on it. */
export function tells(finding: Finding): boolean {
  return new Set(Object.values(finding.results).map((result) => result.agrees)).size > 1;
}

/** Findings with those first that name most drugs of the case's question; else in the order given. */
export function ranked(facts: Facts, findings: readonly Finding[]): Finding[] {
  const asked = Object.keys(facts.drugs).filter((drug) => facts.question.toLowerCase().includes(drug));
  const named = (finding: Finding) => asked.filter((drug) => new RegExp(`\\b${drug}\\b`, "i").test(finding.text)).length;
  return findings
    .map((finding, i) => ({ finding, i, count: named(finding) }))
    .sort((a, b) => b.count - a.count || a.i - b.i)
    .map(({ finding }) => finding);
}

/** A finding without its study's key, its outputs by their names. */
export function wordsOf(facts: Facts, finding: Finding): string {
  const study = finding.id.split("/")[0];
  const text = finding.text.startsWith(`${study}: `) ? finding.text.slice(study.length + 2) : finding.text;
  return text.replace(/\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b/g, (id) => facts.outputs[id]?.short ?? id.replaceAll("_", " "));
}

/** Three figures of a prediction; what is but rounding error of the solver is 0. */
export function figures(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return "none";
  return Math.abs(value) < 1e-9 ? "0" : String(Number(value.toPrecision(3)));
}
