/** The scene in the address after "#": what a teacher links to. Whatever it says, the page opens. */

import type { Facts, Scene } from "./data.ts";
import { ownAmounts, snap } from "./regimens.ts";

export type Theme = "light" | "dark" | null;

export interface Place {
  mechanism: string;
  compare: string | null;
  scene: string;
  amounts: number[]; // by dose of the scene
  time: number;
  bands: boolean;
  embed: boolean;
  theme: Theme;
}

/** Where a page opens without an address. */
export function opening(facts: Facts): Place {
  const scene = facts.scenes[0];
  return { mechanism: facts.mechanisms[0].id, compare: null, scene: scene.id, amounts: ownAmounts(scene), time: scene.opens, bands: false, embed: false, theme: null };
}

export function writeAddress(facts: Facts, place: Place): string {
  const scene = facts.scenes.find((other) => other.id === place.scene)!;
  const parts = [`m=${encodeURIComponent(place.mechanism)}`, `s=${encodeURIComponent(place.scene)}`];
  place.amounts.forEach((amount, i) => {
    if (amount !== scene.doses[i].amount || scene.controls.some((control) => control.dose === i)) parts.push(`d${i}=${amount}`);
  });
  parts.push(`t=${place.time}`);
  if (place.compare !== null) parts.push(`c=${encodeURIComponent(place.compare)}`);
  if (place.bands) parts.push("b=1");
  if (place.embed) parts.push("embed=1");
  if (place.theme !== null) parts.push(`theme=${place.theme}`);
  return `#${parts.join("&")}`;
}

/** The place that an address names; `notes` say what of it could not be followed. */
export function readAddress(facts: Facts, address: string): { place: Place; notes: string[] } {
  const place = opening(facts);
  const notes: string[] = [];
  const given = fields(facts, address.replace(/^#/, ""), notes);
  const pick = <T extends { id: string }>(key: string, all: T[], what: string): T | undefined => {
    const id = given.get(key);
    if (id === undefined) return undefined;
    const found = all.find((one) => one.id === id);
    if (!found) notes.push(`The link asks for the ${what} “${shorten(id)}”, which this page lacks.`);
    return found;
  };
  place.mechanism = pick("m", facts.mechanisms, "mechanism")?.id ?? place.mechanism;
  const compare = pick("c", facts.mechanisms, "mechanism")?.id ?? null;
  place.compare = compare === place.mechanism ? null : compare;
  const scene = pick("s", facts.scenes, "scene") ?? facts.scenes[0];
  place.scene = scene.id;
  place.amounts = readAmounts(scene, given, notes);
  place.time = readTime(scene, given.get("t"), notes);
  place.bands = given.get("b") === "1";
  place.embed = given.get("embed") === "1";
  const theme = given.get("theme");
  place.theme = theme === "light" || theme === "dark" ? theme : null;
  return { place, notes };
}

const KEYS = new Set(["m", "s", "t", "c", "b", "embed", "theme"]);

/** Fields by key. One note tells of all the parts that are none. */
function fields(facts: Facts, text: string, notes: string[]): Map<string, string> {
  const found = new Map<string, string>();
  const strange: string[] = [];
  const doses = Math.max(...facts.scenes.map((scene) => scene.doses.length));
  const isKey = (key: string) => KEYS.has(key) || (/^d\d+$/.test(key) && Number(key.slice(1)) < doses);
  for (const part of text.split("&")) {
    if (part === "") continue;
    const [key, ...rest] = part.split("=");
    const value = decoded(rest.join("="));
    if (isKey(key) && rest.length > 0 && value !== null) found.set(key, value);
    else strange.push(part);
  }
  const [first, ...others] = strange;
  if (first !== undefined) notes.push(`A part of the link cannot be read: “${shorten(decoded(first) ?? first)}”${others.length > 0 ? `, and ${others.length} more` : ""}.`);
  return found;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function readAmounts(scene: Scene, given: Map<string, string>, notes: string[]): number[] {
  return ownAmounts(scene).map((own, i) => {
    const text = given.get(`d${i}`);
    if (text === undefined) return own;
    const control = scene.controls.find((other) => other.dose === i);
    const wished = text.trim() === "" ? NaN : Number(text);
    const amount = wished === own || wished === 0 ? wished : control ? snap(control, wished) : null;
    if (amount !== null) return amount;
    notes.push(`The link's dose “${shorten(text)}” is none that this scene knows; its own is shown.`);
    return own;
  });
}

function readTime(scene: Scene, text: string | undefined, notes: string[]): number {
  if (text === undefined) return scene.opens;
  const time = text.trim() === "" ? NaN : Number(text);
  const [first, last] = [scene.times[0], scene.times[scene.times.length - 1]];
  if (time >= first && time <= last) return time;
  notes.push(`The link's time “${shorten(text)}” lies outside this scene.`);
  return Number.isFinite(time) ? Math.min(last, Math.max(first, time)) : scene.opens;
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
