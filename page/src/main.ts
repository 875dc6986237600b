/** Reads what the builder embedded and starts the page; without data it says how to make a page. */

import { mount } from "svelte";
import { FORMAT, type Facts, inflate } from "./data.ts";
import { hasSimd } from "./kernel.ts";
import { Page } from "./page.svelte.ts";
import App from "./parts/App.svelte";
import Plain from "./parts/Plain.svelte";
import "./page.css";

const target = document.getElementById("app")!;

function say(text: string, facts?: Facts): void {
  mount(Plain, { target, props: { text, facts } });
  document.getElementById("still")!.hidden = false;
  document.documentElement.dataset.ready = "false";
}

async function start(): Promise<void> {
  const embedded = document.getElementById("facts")?.textContent?.trim();
  if (!embedded) return say("This is the empty page of Antagony. Make one that holds a case and its mechanisms with: antagony page");
  if (typeof DecompressionStream === "undefined")
    return say("This browser is too old to unpack the page's data (it lacks DecompressionStream). Any current browser can.");
  const facts = JSON.parse(new TextDecoder().decode(await inflate(embedded))) as Facts;
  document.title = facts.title;
  if (facts.format !== FORMAT) return say(`The data in this page have format ${facts.format}; this page reads format ${FORMAT}. Make it anew with: antagony page`);
  if (!hasSimd()) return say("This browser cannot run the simulation (it lacks WebAssembly SIMD). Any current browser can.", facts);
  const packed: Record<string, string> = {};
  for (const script of document.querySelectorAll<HTMLElement>("script.kernel")) packed[script.dataset.mechanism!] = script.textContent ?? "";
  const page = new Page(facts, packed, location.hash);
  try {
    await Promise.all([page.mechanismId, page.compareId].filter((id) => id !== null).map((id) => page.open(id)));
  } catch (error) {
    return say(`The simulation did not start: ${error instanceof Error ? error.message : error}`, facts);
  }
  mount(App, { target, props: { page } });
}

start().catch((error: unknown) => say(`The page did not start: ${error instanceof Error ? error.message : error}`));
