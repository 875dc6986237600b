/** What the keyboard does. */

import type { Page } from "./page.svelte.ts";
import { byClass } from "./states.ts";

export const KEYS: [string, string][] = [
  ["space", "play or pause"],
  ["← →", "back and forth in time; with shift, in larger steps"],
  ["1 to 9", "take that mechanism of the list"],
  ["[ ]", "the mechanism before, the next one"],
  ["c", "compare with the next rival; once more: stop comparing"],
  ["n", "with or without the antagonist"],
  ["s", "the next scene; with shift, the one before"],
  ["r", "reset the doses"],
  ["b", "bands of virtual patients on or off"],
  ["?", "this list"],
];

/** Follow a key, unless it belongs to what has the focus. */
export function act(event: KeyboardEvent, page: Page, help: () => void): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const target = event.target as HTMLElement;
  if (target.closest("dialog") || /^(TEXTAREA|SELECT)$/.test(target.tagName)) return;
  const input = target instanceof HTMLInputElement;
  if (input && !["range", "checkbox"].includes(target.type)) return;
  const { key } = event;
  const arrows = key === "ArrowLeft" || key === "ArrowRight";
  if (arrows && input && target.type === "range") return; // the slider's own
  if (key === " " && (target.tagName === "BUTTON" || target.tagName === "SUMMARY" || target.tagName === "A" || (input && target.type === "checkbox"))) return;
  const order = byClass(page.facts.mechanisms).flatMap((group) => group.members);
  const near = (by: number) => order[(order.findIndex(({ id }) => id === page.mechanismId) + by + order.length) % order.length].id;
  const scenes = page.facts.scenes;
  const scene = (by: number) => scenes[(scenes.indexOf(page.scene) + by + scenes.length) % scenes.length].id;
  const size = event.shiftKey ? 0.05 : 0.01;
  const acts: Record<string, () => unknown> = {
    " ": () => page.play(!page.playing),
    ArrowLeft: () => page.step(-size),
    ArrowRight: () => page.step(size),
    "[": () => page.choose(near(-1)),
    "]": () => page.choose(near(1)),
    c: () => page.compare(page.compareId === null ? near(1) : null),
    n: () => page.switchAntagonist(),
    s: () => page.enter(scene(1)),
    S: () => page.enter(scene(-1)),
    r: () => page.reset(),
    b: () => (page.bandsOn = !page.bandsOn),
    "?": help,
  };
  const digit = Number(key);
  const work = /^[1-9]$/.test(key) && digit <= order.length ? () => page.choose(order[digit - 1].id) : acts[key];
  if (!work) return;
  event.preventDefault();
  work();
}
