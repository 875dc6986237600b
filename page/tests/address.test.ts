import assert from "node:assert/strict";
import { test } from "node:test";
import { opening, type Place, readAddress, writeAddress } from "../src/address.ts";
import { facts } from "./example.ts";

test("every place comes back from its address", () => {
  const places: Place[] = [
    opening(facts),
    { mechanism: "second rival/2", compare: "first", scene: "both", amounts: [25, 0.35], time: 23.4, bands: true, embed: true, theme: "dark" },
    { mechanism: "first", compare: null, scene: "both", amounts: [0, 0.5], time: -1, bands: false, embed: false, theme: "light" },
  ];
  for (const place of places) assert.deepEqual(readAddress(facts, writeAddress(facts, place)), { place, notes: [] });
});

test("an empty address opens the first scene of the first mechanism, without a note", () => {
  for (const address of ["", "#"]) assert.deepEqual(readAddress(facts, address), { place: opening(facts), notes: [] });
});

test("what is unknown or absurd falls back, and a note says so", () => {
  const { place, notes } = readAddress(facts, "#m=phlogiston&s=nowhere&c=ether&d0=1e9&t=99999");
  assert.equal(place.mechanism, "first");
  assert.equal(place.scene, "alone");
  assert.equal(place.compare, null);
  assert.deepEqual(place.amounts, [0.5]);
  assert.equal(place.time, 168);
  assert.equal(notes.length, 5);
  assert.match(notes[0], /phlogiston/);
});

for (const text of ["d0=NaN", "d0=", "d0=-3", "d0=abc", "d0=Infinity", "t=abc", "t=", "m=%E0%A4%A", "%%%", "the quick brown fox", "x=1", "m", "d9=1", "x=1&y=%ff&z"]) {
  test(`${text} is not followed, but told`, () => {
    const { place, notes } = readAddress(facts, `#${text}`);
    assert.deepEqual(place, opening(facts));
    assert.equal(notes.length, 1);
  });
}

test("a dose snaps to what is allowed", () => {
  assert.deepEqual(readAddress(facts, "#s=both&d0=30&d1=0.52").place.amounts, [25, 0.5]);
});

test("a long broken text is cut in its note", () => {
  const { notes } = readAddress(facts, `#m=${"x".repeat(5000)}`);
  assert.ok(notes[0].length < 120);
});

test("a mechanism is not compared with itself", () => {
  assert.equal(readAddress(facts, "#m=first&c=first").place.compare, null);
});
