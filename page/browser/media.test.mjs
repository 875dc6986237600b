/** Where and how the page is seen: in a frame, on paper, in the dark, without motion, on a phone. */

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { address, at, DESKTOP, lines, needsChromium, openSuite, PHONE, readFacts, sentence, settle, SHOTS, temporaryFolder, unfoldAll, using, writePage } from "./browser.mjs";

const SMALLEST = 12; // px

/** In the page: each visible piece of text with its size on the screen and where it lies. */
function texts() {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("script, style, noscript, .unseen")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 0 && box.height > 0);
    if (boxes.length === 0) continue;
    let size = parseFloat(getComputedStyle(element).fontSize);
    if (element instanceof SVGElement) {
      const { a, b, c, d } = element.closest("text").getScreenCTM();
      size *= Math.sqrt(Math.abs(a * d - b * c));
    }
    let scrolls = false;
    for (let up = element; up && up !== document.body; up = up.parentElement) {
      const { overflowX } = getComputedStyle(up);
      if (overflowX === "auto" || overflowX === "scroll") scrolls = true;
    }
    const left = Math.min(...boxes.map((box) => box.left));
    const right = Math.max(...boxes.map((box) => box.right));
    const box = { left, right, top: Math.min(...boxes.map((b) => b.top)), bottom: Math.max(...boxes.map((b) => b.bottom)) };
    found.push({ text: node.data.trim().slice(0, 40), size, box, scrolls, drawing: element.closest("svg")?.dataset.testid ?? null });
  }
  return { found, width: document.documentElement.clientWidth, scroll: document.documentElement.scrollWidth };
}

/** Texts of one drawing that lie on each other. */
function collisions(found) {
  const hits = [];
  for (const [i, one] of found.entries()) {
    for (const other of found.slice(i + 1)) {
      if (!one.drawing || one.drawing !== other.drawing) continue;
      const wide = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const high = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (wide > 2 && high > 4) hits.push(`"${one.text}" on "${other.text}" by ${wide.toFixed(0)} x ${high.toFixed(0)} px`);
    }
  }
  return hits;
}

const once = (list) => [...new Set(list)];

describe("media", needsChromium, () => {
  const suite = openSuite();
  const folder = temporaryFolder();

  test("embed=1 shows the scene and little else", () =>
    using(suite.open({ hash: "m=hnk&embed=1", viewport: { width: 1000, height: 700 } }), async (page) => {
      await page.waitForTimeout(500);
      assert.ok((await lines(page)).length > 1);
      assert.ok(await at(page, "diagram-hnk").isVisible());
      assert.match(await sentence(page), /\.$/);
      assert.ok(await at(page, "disclaimer").isVisible(), "not even in a frame is this advice");
      for (const id of ["matrix", "designs", "methods", "help"]) assert.equal(await at(page, id).count(), 0, id);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
      await page.waitForTimeout(400);
      assert.match(await page.evaluate(() => location.hash), /embed=1/);
    }));

  test("it runs in a sandboxed frame of another page", async () => {
    const host = writePage(folder, "host.html", `<!doctype html><title>host</title><iframe sandbox="allow-scripts" width="1000" height="700" src="${address("m=hnk&embed=1")}"></iframe>`);
    await using(suite.open({ file: host, ready: false }), async (page) => {
      const frame = page.frameLocator("iframe");
      await frame.locator(`[data-testid="sentence"]`).waitFor({ timeout: 30_000 });
      assert.ok((await frame.locator(`svg[data-testid="curves"] path[stroke-linejoin="round"]`).count()) > 1);
      await frame.locator(`[data-testid="scene-ketamine_naltrexone"]`).click();
      await page.waitForTimeout(500);
      assert.match(await frame.locator(`[data-testid="sentence"]`).innerText(), /naltrexone/);
    });
  });

  test("print shows the picture and no controls", () =>
    using(suite.open({ colorScheme: "dark", hash: "m=camp_crosstalk&s=ketamine_naltrexone&theme=dark" }), async (page) => {
      await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
      await page.emulateMedia({ media: "print" });
      await settle(page);
      const shown = await page.locator("button, input, select, textarea, [role=tab], [role=switch]").evaluateAll((all) =>
        all.filter((element) => element.checkVisibility() && element.getClientRects().length > 0 && !element.closest("table")).map((element) => element.dataset.testid ?? element.textContent.trim()),
      );
      assert.deepEqual(shown, [], "controls on paper"); // words of a table may be buttons on the screen
      assert.ok(await at(page, "diagram-camp_crosstalk").isVisible());
      assert.ok(await at(page, "curves").isVisible());
      assert.ok(await at(page, "sentence").isVisible());
      assert.ok(await at(page, "disclaimer").isVisible());
      assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(255, 255, 255)");
      const pdf = await page.pdf({ format: "A4" });
      assert.equal(String(pdf.subarray(0, 5)), "%PDF-");
      assert.ok(pdf.length > 20_000, `${pdf.length} bytes`);
      mkdirSync(SHOTS, { recursive: true });
      writeFileSync(join(SHOTS, "print.pdf"), pdf);
    }));

  test("nothing is cut off on paper", () =>
    using(suite.open({ hash: "m=camp_crosstalk&s=ketamine_naltrexone" }), async (page) => {
      await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
      await page.emulateMedia({ media: "print" });
      await page.setViewportSize({ width: 718, height: 1047 }); // A4 within margins of 1 cm
      await settle(page);
      const cut = await page.evaluate(() =>
        [...document.querySelectorAll("main *")]
          .filter((e) => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible" && !e.closest(".unseen"))
          .map((e) => `${e.getAttribute("aria-label") ?? e.className}: ${e.scrollWidth} px wide, ${e.clientWidth} shown`),
      );
      assert.deepEqual(cut, []);
      const { found, width } = await page.evaluate(texts);
      const off = found.filter(({ box }) => box.right > width + 0.5).map(({ text, box }) => `"${text}" to ${box.right.toFixed(0)} of ${width} px`);
      assert.deepEqual(once(off), []);
    }));

  test("dark where the system or the reader wants it", async () => {
    const brightness = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((sum, n) => sum + Number(n), 0) / 3);
    await using(suite.open({ colorScheme: "dark" }), async (page) => {
      assert.ok((await brightness(page)) < 60);
      await page.waitForSelector(`[data-testid="theme"]`);
      await at(page, "theme").selectOption("light");
      await settle(page);
      assert.ok((await brightness(page)) > 200);
    });
    await using(suite.open({ colorScheme: "light", hash: "theme=dark" }), async (page) => assert.ok((await brightness(page)) < 60));
  });

  test("without motion playing goes in jumps", async () => {
    const moves = async (page) => {
      await page.evaluate(() => {
        window.moves = new Set();
        const look = () => {
          window.moves.add(document.querySelector(`[data-testid="time"]`).value);
          requestAnimationFrame(look);
        };
        look();
      });
      await at(page, "play").click();
      await page.waitForTimeout(2_500);
      return page.evaluate(() => window.moves.size);
    };
    const calm = await new Promise((done, fail) => using(suite.open({ reducedMotion: "reduce" }), async (page) => {
      const count = await moves(page);
      assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
      done(count);
    }).catch(fail));
    const lively = await new Promise((done, fail) => using(suite.open(), async (page) => done(await moves(page))).catch(fail));
    assert.ok(calm >= 2 && calm <= 5, `${calm} moves in 2.5 s without motion`);
    assert.ok(lively > 8, `${lively} moves in 2.5 s`);
  });

  for (const hash of ["", "s=ketamine_naltrexone&c=direct_opioid"]) {
    test(`a phone shows all text at 12 px or more and nothing off its side${hash && ", comparing"}`, () =>
      using(suite.open({ ...PHONE, hash }), async (page) => {
        await unfoldAll(page);
        const wrong = [];
        for (const scene of hash ? [null] : readFacts().scenes) {
          if (scene) await at(page, `scene-${scene.id}`).click();
          await page.waitForFunction(() => !document.querySelector(".asleep")); // what is out of sight is not drawn during a step
          const { found, width, scroll } = await page.evaluate(texts);
          assert.ok(found.length > 100);
          assert.ok(scroll <= width, `${scene?.id}: ${scroll} px wide`);
          wrong.push(...found.filter(({ size }) => size < SMALLEST - 0.01).map(({ text, size }) => `"${text}" at ${size.toFixed(1)} px`));
          wrong.push(...found.filter(({ box, scrolls }) => !scrolls && (box.right > width + 0.5 || box.left < -0.5)).map(({ text, box }) => `"${text}" from ${box.left.toFixed(0)} to ${box.right.toFixed(0)} px`));
        }
        assert.deepEqual(once(wrong), []);
      }));
  }

  test("on a phone every control is large enough for a finger", () =>
    using(suite.open({ ...PHONE, hash: "s=ketamine_naltrexone" }), async (page) => {
      await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
      const small = await page.locator("button, select, input, summary").evaluateAll((all) =>
        all
          .filter((element) => element.checkVisibility() && !element.closest("table"))
          .map((element) => ({ id: element.dataset.testid ?? element.textContent.trim(), box: (element.type === "checkbox" ? element.closest("label") : element).getBoundingClientRect() }))
          .filter(({ box }) => box.width > 0 && (box.width < 24 || box.height < 24))
          .map(({ id, box }) => `${id}: ${box.width.toFixed(0)} x ${box.height.toFixed(0)}`),
      );
      assert.deepEqual(small, [], "below 24 px (WCAG 2.5.8)");
    }));

  test("words in the drawings do not lie on each other", async () => {
    const wrong = [];
    for (const [where, options] of [["desktop", { viewport: DESKTOP }], ["phone", PHONE]]) {
      await using(suite.open(options), async (page) => {
        const { scenes, mechanisms } = readFacts();
        for (const scene of scenes) {
          await at(page, `scene-${scene.id}`).click();
          for (const mechanism of mechanisms) {
            await (where === "phone" ? at(page, "mechanism-select").selectOption(mechanism.id) : at(page, `mechanism-${mechanism.id}`).click());
            await page.waitForSelector(`[data-testid="diagram-${mechanism.id}"]`);
            await settle(page);
            wrong.push(...collisions((await page.evaluate(texts)).found).map((hit) => `${where}, ${scene.id}, ${mechanism.id}: ${hit}`));
          }
        }
      });
    }
    assert.deepEqual(wrong, []);
  });

  test("no width between a small phone and a wide screen scrolls sideways", () =>
    using(suite.open({ hash: "s=ketamine_naltrexone" }), async (page) => {
      await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
      const wide = [];
      for (const width of [320, 360, 420, 600, 701, 768, 900, 1024, 1081, 1280, 1920]) {
        await page.setViewportSize({ width, height: 800 });
        await settle(page);
        const scroll = await page.evaluate(() => document.documentElement.scrollWidth);
        if (scroll > width) wide.push(`${scroll} px at ${width}`);
      }
      assert.deepEqual(wide, []);
    }));
});
