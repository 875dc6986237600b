/** Target against measured, one line each; exits with 1 on a miss.
 *
 *   PAGE=../build/page/page.html node browser/measure.mjs
 *
 * What is timed. A browser hands input to a page at the beginning of a frame; so each step is taken inside a
 * requestAnimationFrame callback. It begins right before the event is dispatched and ends at a message that was posted in
 * that callback: the message is a task of its own, and so comes after the page's handlers, its simulation, its changes to
 * the document, and style, layout, paint and commit of that frame. What is left out is the wait for the next frame, which
 * says something of the screen and not of the page, and the raster and the screen's own work on other threads. That the
 * step was drawn is checked: the picture differs after it, and `data-painted` goes up, before the next one is taken.
 *
 * Two clocks. `work` is the time that the page's main thread was on a processor between those two points, from the
 * browser's own trace: it is what is judged, for it says what the page costs however busy the machine is. `wall` is the
 * time on the wall between them; on an idle machine both are the same, else wall holds the waiting for others as well.
 *
 * Every dose is one that the page has not yet simulated (it keeps its last runs), within the slider's range but off its
 * steps. A quantile is taken in each of ROUNDS rounds of STEPS steps, and the median of the rounds is judged.
 */

import { availableParallelism, loadavg } from "node:os";
import { statSync } from "node:fs";
import { at, close, launch, open, PAGE, readFacts, settle } from "./browser.mjs";

const ROUNDS = 5;
const STEPS = 60;
const COLD = 5;
const TARGETS = { dose: 16, time: 10, mechanism: 10, picture: 1000, weight: 600 };

const sorted = (list) => [...list].sort((a, b) => a - b);
const quantile = (list, share) => sorted(list)[Math.min(list.length - 1, Math.ceil(share * list.length) - 1)];
const median = (list) => quantile(list, 0.5);

/** In the page: take each step in a frame of its own, between two marks; the times on the wall [ms]. */
async function timed({ kind, id, steps }) {
  const root = document.documentElement;
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const look = () => [...document.querySelectorAll(`[data-testid="sentence"], svg[data-testid="curves"] path`)].map((e) => e.getAttribute("d") ?? e.textContent).join();
  const input = document.querySelector(`[data-testid="${id}"]`);
  const act = {
    slide: (value) => {
      input.value = String(value);
      input.dispatchEvent(new Event("input", { bubbles: true }));
    },
    press: (id) => document.querySelector(`[data-testid="${id}"]`).click(),
  }[kind];
  if (input) input.step = "any";
  const took = [];
  for (const step of steps) {
    const [painted, before] = [Number(root.dataset.painted), look()];
    took.push(
      await new Promise((done) =>
        requestAnimationFrame(() => {
          const { port1, port2 } = new MessageChannel();
          const start = performance.now();
          port1.onmessage = () => {
            performance.mark("measure:end");
            done(performance.now() - start);
          };
          performance.mark("measure:begin");
          act(step);
          port2.postMessage(null);
        }),
      ),
    );
    if (look() === before) throw new Error(`step ${step} changed nothing in its frame`);
    for (let waits = 0; Number(root.dataset.painted) === painted; waits++) {
      if (waits > 30) throw new Error(`step ${step} was not repainted`);
      await frame();
    }
    await frame();
  }
  return took;
}

/** Time [ms] that the main thread was on a processor in each step: its tasks that touch the step. */
function workOf({ traceEvents }) {
  const marks = traceEvents.filter(({ name }) => name.startsWith("measure:")).sort((a, b) => a.ts - b.ts);
  const [{ pid, tid }] = marks;
  const tasks = traceEvents.filter((e) => e.name === "ThreadControllerImpl::RunTask" && e.pid === pid && e.tid === tid);
  const begun = marks.filter(({ name }) => name === "measure:begin");
  return begun.map(({ ts: begin }) => {
    const { ts: end } = marks.find(({ name, ts }) => name === "measure:end" && ts > begin);
    return tasks.filter((task) => task.ts < end && task.ts + task.dur > begin).reduce((sum, { tdur }) => sum + tdur / 1000, 0);
  });
}

/** Rounds of a measurement: quantiles of each round, and their median. */
async function rounds(page, task) {
  const all = { work: [], wall: [] };
  for (let round = 0; round < ROUNDS; round++) {
    await browser.startTracing(page, { categories: ["toplevel", "blink.user_timing"] });
    all.wall.push(await page.evaluate(timed, task(round)));
    all.work.push(workOf(JSON.parse(String(await browser.stopTracing()))));
    if (all.work.at(-1).length !== STEPS) throw new Error(`the trace holds ${all.work.at(-1).length} steps of ${STEPS}`);
  }
  const over = (clock, share) => median(all[clock].map((took) => quantile(took, share)));
  return { p50: over("work", 0.5), p90: over("work", 0.9), wall50: over("wall", 0.5), wall90: over("wall", 0.9) };
}

let missed = 0;
function tell(what, target, value, unit, more = "") {
  const kept = value < target;
  if (!kept) missed++;
  console.log(`${kept ? "kept  " : "MISSED"}  ${what}: target < ${target} ${unit}, measured ${value.toFixed(unit === "ms" && value < 100 ? 1 : 0)} ${unit}${more}`);
}
const both = ({ p50, p90, wall50, wall90 }) =>
  `; work p50 ${p50.toFixed(1)}, p90 ${p90.toFixed(1)}; wall p50 ${wall50.toFixed(1)}, p90 ${wall90.toFixed(1)} ms`;

/** A step never taken before: round by round between the steps of the rounds before. */
function doses({ low, high }, round) {
  return Array.from({ length: STEPS }, (_, i) => low + ((high - low) * (((i * 37) % STEPS) + (round + 0.5) / ROUNDS)) / STEPS);
}

/** Until every kernel is open and its curves are there: what the page does while nobody waits. */
async function warm(page, mechanisms) {
  for (let turn = 0; turn < 2; turn++) {
    for (const { id } of mechanisms) {
      await at(page, `mechanism-${id}`).click();
      await page.waitForSelector(`[data-testid="diagram-${id}"]`);
      await settle(page);
    }
  }
}

const browser = await launch();
try {
  console.log(`median of ${ROUNDS} rounds of ${STEPS} steps; load of this machine ${loadavg()[0].toFixed(1)} on ${availableParallelism()} processors`);
  const { scenes, mechanisms } = readFacts();
  // one drug, with an antagonist, and the one with the most to simulate
  const given = (scene) => scene.doses.reduce((sum, dose) => sum + 1 + dose.additional, 0);
  const most = scenes.toSorted((a, b) => given(b) - given(a)).find((scene) => scene.controls.some((control) => !control.allowed));
  const beside = scenes.find((scene) => scene.controls.length > 1);
  for (const scene of new Set([scenes[0], beside, most])) {
    const page = await open(browser, { hash: `s=${scene.id}` });
    const control = scene.controls.findLast((one) => !one.allowed);
    const found = await rounds(page, (round) => ({ kind: "slide", id: `dose-${control.dose}`, steps: doses(control, round) }));
    tell(`dose slider to repaint, p90, ${mechanisms[0].id} in ${scene.id}`, TARGETS.dose, found.p90, "ms", both(found));
    if (scene === beside) {
      const moments = (round) => Array.from({ length: STEPS }, (_, i) => (((i * 37) % STEPS) * 400 + 80 * round + 20) / STEPS);
      const scrub = await rounds(page, (round) => ({ kind: "slide", id: "time", steps: moments(round) }));
      tell(`time scrub to repaint, p50, in ${scene.id}`, TARGETS.time, scrub.p50, "ms", both(scrub));
      await at(page, "reset").click();
      await warm(page, mechanisms);
      const turns = Array.from({ length: STEPS }, (_, i) => `mechanism-${mechanisms[i % mechanisms.length].id}`);
      const change = await rounds(page, () => ({ kind: "press", id: "none", steps: turns }));
      tell(`mechanism switch to repaint, warm, p50, in ${scene.id}`, TARGETS.mechanism, change.p50, "ms", both(change));
    }
    await close(page);
  }
  const pictures = [];
  for (let i = 0; i < COLD; i++) {
    const page = await open(browser);
    pictures.push(await page.evaluate(() => performance.getEntriesByName("antagony:first-picture")[0].startTime));
    await close(page);
  }
  tell("first picture from disk", TARGETS.picture, median(pictures), "ms", `; median of ${COLD} cold contexts, ${sorted(pictures).map((ms) => ms.toFixed(0)).join(", ")} ms`);
} finally {
  await browser.close();
}
tell("page weight", TARGETS.weight, statSync(PAGE).size / 1000, "kB");
process.exit(missed > 0 ? 1 : 0);
