import assert from "node:assert/strict";
import { test } from "node:test";
import type { Facts, Finding } from "../src/data.ts";
import { figures, ranked, tells, wordsOf } from "../src/findings.ts";

const facts = {
  question: "Why does naltrexone take away ketamine's effect?",
  drugs: { ketamine: {}, naltrexone: {}, morphine: {} },
  outputs: { drug_effect: { short: "drug effect" } },
} as unknown as Facts;
const finding = (id: string, text: string, agrees: (boolean | null)[] = []) =>
  ({ id, text, results: Object.fromEntries(agrees.map((one, i) => [i, { agrees: one }])) }) as unknown as Finding;

test("a finding tells the rivals apart where not all have the same answer", () => {
  assert.ok(tells(finding("a", "", [true, false])) && tells(finding("a", "", [true, null])));
  assert.ok(!tells(finding("a", "", [false, false])));
});

test("findings that name the drugs of the question come first, else order stays", () => {
  const all = [finding("1", "morphine"), finding("2", "esketamine"), finding("3", "Ketamine v x"), finding("4", "naltrexone, then ketamine"), finding("5", "naltrexone")];
  assert.deepEqual(ranked(facts, all).map(({ id }) => id), ["4", "3", "5", "1", "2"]);
});

test("words leave out the study's key and name outputs", () => {
  assert.equal(wordsOf(facts, finding("dean_2006/x", "dean_2006: drug_effect: no difference, 28 d")), "drug effect: no difference, 28 d");
  assert.equal(wordsOf(facts, finding("a_1/x", "mtorc1_relative is higher")), "mtorc1 relative is higher");
});

test("three figures, and rounding error is nothing", () => {
  assert.deepEqual([8.94653, 2.8e-16, -4e-17, -0.00244, NaN].map(figures), ["8.95", "0", "0", "-0.00244", "none"]);
});
