import assert from "node:assert/strict";
import { test } from "node:test";
import { drugColour, inkOn } from "../src/palette.ts";

const drug = (antagonist: boolean) => ({ antagonist });

test("drugs of any case are told apart, and what blocks is warm", () => {
  const drugs = { one: drug(false), two: drug(false), blocker: drug(true), three: drug(false), other: drug(true) };
  const colours = Object.keys(drugs).map((name) => drugColour(name, drugs));
  assert.equal(new Set(colours).size, colours.length);
  const red = (colour: string) => parseInt(colour.slice(1, 3), 16) - parseInt(colour.slice(5, 7), 16);
  assert.ok(red(drugColour("blocker", drugs)) > 150 && red(drugColour("other", drugs)) > 150);
});

test("a drug keeps its colour when others join the case after it", () => {
  const few = { one: drug(false), blocker: drug(true) };
  assert.equal(drugColour("one", { ...few, later: drug(false) }), drugColour("one", few));
  assert.equal(drugColour("blocker", { ...few, later: drug(true) }), drugColour("blocker", few));
});

test("more drugs than colours begin again, and an unknown one has a colour", () => {
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`d${i}`, drug(i % 2 === 0)]));
  for (const name of [...Object.keys(many), "unknown"]) assert.match(drugColour(name, many), /^#[0-9A-F]{6}$/);
});

test("ink on a colour is the one with more contrast", () => {
  assert.equal(inkOn("#0072B2"), "#fff");
  assert.equal(inkOn("#F0E442"), "#000");
});
