/** All of the page by keyboard. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { at, inOrder, lines, needsChromium, openSuite, readFacts, sentence, settle, using } from "./browser.mjs";

const BESIDE = "s=ketamine_naltrexone"; // two sliders and an antagonist

describe("keyboard", needsChromium, () => {
  const suite = openSuite();
  const chosen = (page) => page.locator(`[role="tab"][aria-selected="true"]`).getAttribute("id");
  const scene = (page) => page.locator(`[data-testid^="scene-"][aria-pressed="true"]`).getAttribute("data-testid");
  const time = async (page) => Number(await at(page, "time").inputValue());
  const press = async (page, ...keys) => {
    for (const key of keys) await page.keyboard.press(key);
    await settle(page);
  };
  const playing = async (page) => (await at(page, "play").getAttribute("aria-label")) === "Pause";

  test("space plays and pauses", () =>
    using(suite.open(), async (page) => {
      const before = await time(page);
      await press(page, " ");
      assert.ok(await playing(page));
      await page.waitForFunction((then) => Number(document.querySelector(`[data-testid="time"]`).value) > then + 5, before);
      await press(page, " ");
      assert.equal(await playing(page), false);
      const paused = await time(page);
      await page.waitForTimeout(200);
      assert.equal(await time(page), paused);
    }));

  test("space on a button presses the button alone", () =>
    using(suite.open(), async (page) => {
      await at(page, `scene-${readFacts().scenes[1].id}`).focus();
      await press(page, " ");
      assert.equal(await scene(page), `scene-${readFacts().scenes[1].id}`);
      assert.equal(await playing(page), false);
      await at(page, "play").focus();
      await press(page, " ");
      assert.ok(await playing(page));
    }));

  test("playing ends at the end, and begins anew from there", () =>
    using(suite.open(), async (page) => {
      await at(page, "time").fill("396");
      await press(page, " ");
      await page.waitForFunction(() => document.querySelector(`[data-testid="play"]`).getAttribute("aria-label") === "Play", null, { timeout: 10_000 });
      assert.ok((await time(page)) >= 399);
      await page.evaluate(() => document.activeElement.blur());
      await press(page, " ");
      assert.ok((await time(page)) < 200);
    }));

  test("arrows step through time, with shift in larger steps", () =>
    using(suite.open(), async (page) => {
      const start = await time(page);
      await press(page, "ArrowRight");
      const one = await time(page);
      await press(page, "Shift+ArrowRight");
      const more = await time(page);
      await press(page, "Shift+ArrowLeft", "ArrowLeft");
      assert.ok(one > start && more - one > 3 * (one - start), `${start}, ${one}, ${more}`);
      assert.ok(Math.abs((await time(page)) - start) <= 1);
      for (let i = 0; i < 40; i++) await page.keyboard.press("Shift+ArrowLeft");
      await settle(page);
      assert.equal(await time(page), 0);
      for (let i = 0; i < 40; i++) await page.keyboard.press("Shift+ArrowRight");
      await settle(page);
      assert.equal(await time(page), 400);
    }));

  test("digits take a mechanism of the list, brackets the next one", () =>
    using(suite.open(), async (page) => {
      const order = inOrder(readFacts()).map(({ id }) => `tab-${id}`);
      const shown = await page.locator(`[role="tab"]`).evaluateAll((tabs) => tabs.map((tab) => tab.id));
      assert.deepEqual(shown, order);
      const becomes = (id) => page.waitForSelector(`#${id}[aria-selected="true"]`, { timeout: 10_000 });
      for (const digit of [2, 9, 1]) {
        await press(page, String(digit));
        await becomes(order[digit - 1]);
      }
      await press(page, "]");
      await becomes(order[1]);
      await press(page, "[");
      await becomes(order[0]);
      await press(page, "[");
      await becomes(order.at(-1));
      await press(page, "]");
      await becomes(order[0]);
    }));

  test("n takes the antagonist away and gives it back; in a scene without one it is added", () =>
    using(suite.open({ hash: BESIDE }), async (page) => {
      const before = await sentence(page);
      await press(page, "n");
      assert.equal(await at(page, "antagonist").getAttribute("aria-checked"), "false");
      assert.notEqual(await sentence(page), before);
      await press(page, "n");
      assert.equal(await sentence(page), before);
      await at(page, "scene-ketamine").click();
      await press(page, "n");
      assert.equal(await scene(page), "scene-ketamine_naltrexone");
    }));

  test("s goes through the scenes, with shift backwards", () =>
    using(suite.open(), async (page) => {
      const { scenes } = readFacts();
      for (let i = 1; i <= scenes.length; i++) {
        await press(page, "s");
        assert.equal(await scene(page), `scene-${scenes[i % scenes.length].id}`);
      }
      await press(page, "Shift+S");
      assert.equal(await scene(page), `scene-${scenes.at(-1).id}`);
    }));

  test("c compares and stops, b shows bands, r resets doses", () =>
    using(suite.open({ hash: BESIDE }), async (page) => {
      await press(page, "c");
      await at(page, "sentence-compared").waitFor();
      assert.notEqual(await at(page, "compare").inputValue(), "");
      await press(page, "c");
      assert.equal(await at(page, "sentence-compared").count(), 0);
      await press(page, "b");
      assert.ok(await at(page, "bands").isChecked());
      const own = await lines(page);
      await at(page, "dose-0").focus();
      await press(page, "ArrowRight", "ArrowRight");
      assert.notDeepEqual(await lines(page), own);
      await press(page, "r");
      assert.deepEqual(await lines(page), own);
    }));

  test("? lists the keys, Escape and the button close the list, and it opens again", () =>
    using(suite.open(), async (page) => {
      for (const way of ["Escape", "close"]) {
        await press(page, "?");
        await at(page, "keys").waitFor();
        assert.match(await at(page, "keys").innerText(), /space[\s\S]+play[\s\S]+\?/);
        await press(page, "n"); // keys do nothing behind a dialog
        assert.equal(await scene(page), `scene-${readFacts().scenes[0].id}`);
        if (way === "Escape") await page.keyboard.press("Escape");
        else await at(page, "keys").getByRole("button").click();
        await at(page, "keys").waitFor({ state: "hidden" });
      }
      await at(page, "help").click();
      await at(page, "keys").waitFor();
      await page.keyboard.press("Escape");
      await settle(page);
      assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "help", "the focus goes back to where it was");
    }));

  test("sliders follow the arrow keys, and the time stays where it is", () =>
    using(suite.open({ hash: BESIDE }), async (page) => {
      const { controls, doses } = readFacts().scenes.find(({ id }) => id === "ketamine_naltrexone");
      for (const control of controls) {
        const slider = at(page, `dose-${control.dose}`);
        const [then, told] = [await time(page), await sentence(page)];
        await slider.focus();
        await press(page, "ArrowRight");
        assert.ok(Math.abs(Number(await slider.inputValue()) - doses[control.dose].amount - control.step) < 1e-9);
        assert.match(await slider.getAttribute("aria-valuetext"), new RegExp(`^[\\d.]+ ${control.unit}$`));
        assert.equal(await time(page), then);
        await press(page, "Home");
        assert.equal(Number(await slider.inputValue()), control.low);
        assert.notEqual(await sentence(page), told);
        await press(page, "End");
        assert.equal(Number(await slider.inputValue()), control.high);
        await press(page, "2"); // other keys go on working
        await page.waitForSelector(`#tab-${inOrder(readFacts())[1].id}[aria-selected="true"]`);
        await press(page, "1", "r");
        await page.waitForSelector(`#tab-${inOrder(readFacts())[0].id}[aria-selected="true"]`);
      }
      await at(page, "time").focus();
      const then = await time(page);
      await press(page, "ArrowRight");
      assert.equal(await time(page), then + 1);
    }));

  test("a slider on a dose that is known at some amounts alone moves between these", () =>
    using(suite.open(), async (page) => {
      for (const { id, controls } of readFacts().scenes) {
        for (const { dose, allowed, unit } of controls.filter((control) => control.allowed)) {
          await at(page, `scene-${id}`).click();
          await at(page, `dose-${dose}`).focus();
          await press(page, "Home");
          const seen = [];
          for (const _ of allowed) {
            seen.push(Number((await at(page, `dose-${dose}`).getAttribute("aria-valuetext")).replace(` ${unit}`, "")));
            await press(page, "ArrowRight");
          }
          assert.deepEqual(seen, allowed);
        }
      }
    }));

  test("arrows, Home and End move among the tabs and keep the focus", () =>
    using(suite.open(), async (page) => {
      const order = inOrder(readFacts()).map(({ id }) => `tab-${id}`);
      await page.locator(`#${order[0]}`).focus();
      for (const [key, id] of [["ArrowDown", order[1]], ["ArrowUp", order[0]], ["End", order.at(-1)], ["ArrowDown", order[0]], ["Home", order[0]]]) {
        await page.keyboard.press(key);
        await page.waitForFunction((id) => document.activeElement.id === id, id, { timeout: 10_000 });
        assert.equal(await chosen(page), id);
      }
      assert.equal(await page.locator(`[role="tab"][tabindex="0"]`).count(), 1);
    }));

  test("Tab reaches every control, shows where it is, and goes round", () =>
    using(suite.open({ hash: BESIDE }), async (page) => {
      await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
      await page.evaluate(() => document.activeElement.blur());
      const seen = [];
      for (let i = 0; i < 500; i++) {
        await page.keyboard.press("Tab");
        const here = await page.evaluate(() => {
          const element = document.activeElement;
          if (element === document.body || element.seen) return null; // round
          element.seen = true;
          const style = getComputedStyle(element);
          const box = element.getBoundingClientRect();
          return {
            id: element.dataset.testid ?? element.textContent.trim().slice(0, 30),
            marked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
            inView: box.bottom > 0 && box.top < innerHeight && box.width > 0,
          };
        });
        if (here === null) break;
        seen.push(here);
      }
      assert.ok(seen.length < 500, "Tab does not go round");
      const ids = seen.map(({ id }) => id);
      for (const id of ["scene-ketamine", "dose-0", "dose-1", "antagonist", "mechanism-camp_crosstalk", "play", "time", "bands", "compare", "all-findings", "theme", "help"])
        assert.ok(ids.includes(id), `Tab passes over ${id}: ${ids}`);
      assert.ok(ids.indexOf("dose-0") < ids.indexOf("dose-1") && ids.indexOf("dose-1") < ids.indexOf("time"));
      assert.deepEqual(seen.filter(({ marked }) => !marked).map(({ id }) => id), [], "focus that cannot be seen");
      assert.deepEqual(seen.filter(({ inView }) => !inView).map(({ id }) => id), [], "focus out of view");
    }));

  test("keys with Control or Alt are the browser's", () =>
    using(suite.open(), async (page) => {
      const before = [await time(page), await scene(page)];
      await press(page, "Control+ArrowRight", "Control+b", "Control+c");
      assert.deepEqual([await time(page), await scene(page)], before);
      assert.equal(await at(page, "bands").isChecked(), false);
    }));
});
