/** The address holds the scene: what it holds comes back, what it cannot mean is said. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { address, at, hashOf, lines, needsChromium, openSuite, readFacts, sentence, settle, textOf, using } from "./browser.mjs";

/** All that a reader sees of a place. */
async function looks(page) {
  const { scenes } = readFacts();
  const pressed = await page.locator(`[data-testid^="scene-"][aria-pressed="true"]`).getAttribute("data-testid");
  const scene = scenes.find(({ id }) => pressed === `scene-${id}`);
  const amounts = [];
  for (const { dose } of scene.controls) amounts.push(await at(page, `dose-${dose}`).getAttribute("aria-valuetext"));
  return {
    scene: scene.id,
    amounts,
    sentence: await sentence(page),
    compared: (await at(page, "sentence-compared").count()) > 0 ? await textOf(at(page, "sentence-compared")) : null,
    lines: await lines(page),
    bands: await at(page, "bands").isChecked(),
    time: await at(page, "time").getAttribute("aria-valuetext"),
  };
}

const works = async (page) => {
  assert.ok((await lines(page)).length > 1, "no curves");
  assert.match(await sentence(page), /^.+: .+\.$/);
  const { controls } = readFacts().scenes.find(({ id }) => page.url().includes(`s=${id}`)) ?? readFacts().scenes[0];
  const before = await lines(page);
  await at(page, `dose-${controls[0].dose}`).focus();
  await page.keyboard.press("Home");
  await settle(page);
  assert.notDeepEqual(await lines(page), before, "the slider does nothing");
};

const BAD = {
  "a mechanism that the page lacks": "m=phlogiston",
  "a mechanism named like a property of objects": "m=__proto__",
  "a scene that the page lacks": "s=breakfast",
  "a mechanism to compare with that the page lacks": "c=constructor",
  "a dose beyond all measure": "d0=1e9",
  "a dose of infinity": "d0=Infinity",
  "a dose that is no number": "d0=NaN",
  "a dose below nothing": "d0=-1",
  "an empty dose": "d0=",
  "a time outside the scene": "t=1e9",
  "a time that is no number": "t=soon",
  "broken escapes": "m=%%%",
  "broken escapes without a key": "%%%",
  "bytes that are no text": "%ff%fe=%80&m=%c3%28",
  "any text": "the quick brown fox",
  "markup": "m=<img src=x onerror=window.__pwned=1>",
  "random bytes": Buffer.from([0x8f, 0x1b, 0x40, 0xe2, 0x07, 0x99, 0x3d, 0x26, 0x5a, 0xf0]).toString("latin1"),
  "a very long text": `m=${"x".repeat(100_000)}`,
};

describe("address", needsChromium, () => {
  const suite = openSuite();

  test("what is set by hand comes back from the address", () =>
    using(suite.open(), async (page) => {
      const { mechanisms } = readFacts();
      await at(page, "scene-ketamine_naltrexone").click();
      await at(page, `mechanism-${mechanisms[2].id}`).click();
      await at(page, "compare").selectOption(mechanisms[4].id);
      await at(page, "sentence-compared").waitFor();
      for (const [id, steps] of [["dose-0", 3], ["dose-1", 4]]) {
        await at(page, id).focus();
        for (let i = 0; i < steps; i++) await page.keyboard.press(id === "dose-0" ? "ArrowLeft" : "ArrowRight");
      }
      await at(page, "time").fill("317");
      await hashOf(page, /t=\d/);
      await page.waitForTimeout(600);
      const [before, url] = [await looks(page), await page.evaluate(() => location.href)];
      assert.match(url, new RegExp(`#m=${mechanisms[2].id}&s=ketamine_naltrexone&d0=35&d1=0.7&t=[\\d.]+&c=${mechanisms[4].id}$`));
      await using(suite.open({ hash: url.split("#")[1] }), async (again) => {
        assert.deepEqual(await looks(again), before);
        assert.equal(await again.locator(`[data-testid="notes"]`).count(), 0);
        await again.waitForTimeout(600);
        assert.equal(await again.evaluate(() => location.href), url, "the address changed by itself");
      });
      await page.reload();
      await page.waitForSelector(`html[data-ready="true"]`, { state: "attached" });
      assert.deepEqual(await looks(page), before);
    }));

  test("every mechanism in every scene has an address of its own", () =>
    using(suite.open(), async (page) => {
      const { mechanisms, scenes } = readFacts();
      for (const [i, mechanism] of mechanisms.entries()) {
        const scene = scenes[i % scenes.length];
        await page.goto("about:blank");
        await page.goto(address(`m=${mechanism.id}&s=${scene.id}`));
        await page.waitForSelector(`html[data-ready="true"]`, { state: "attached" });
        assert.equal(await at(page, `mechanism-${mechanism.id}`).getAttribute("aria-selected"), "true");
        assert.equal(await at(page, `scene-${scene.id}`).getAttribute("aria-pressed"), "true");
        assert.ok((await lines(page)).length > 1);
      }
    }));

  test("an antagonist taken away and bands come back, too", () =>
    using(suite.open({ hash: "s=ketamine_naltrexone&d0=0&b=1" }), async (page) => {
      assert.equal(await at(page, "antagonist").getAttribute("aria-checked"), "false");
      assert.ok(await at(page, "bands").isChecked());
      await at(page, "antagonist").click();
      assert.equal(await at(page, "antagonist").getAttribute("aria-checked"), "true");
      assert.match(await at(page, "dose-0").getAttribute("aria-valuetext"), /^50 mg$/);
    }));

  test("an address pasted into an open page is followed, also to a mechanism not yet opened", () =>
    using(suite.open(), async (page) => {
      const last = readFacts().mechanisms.at(-1);
      await page.evaluate((id) => (location.hash = `#m=${id}&s=naltrexone`), last.id);
      await page.waitForSelector(`[data-testid="diagram-${last.id}"]`, { timeout: 5_000 });
      assert.equal(await at(page, "scene-naltrexone").getAttribute("aria-pressed"), "true");
      await page.evaluate(() => (location.hash = "#m=phlogiston"));
      await at(page, "notes").waitFor();
      await works(page);
    }));

  for (const [name, hash] of Object.entries(BAD)) {
    test(`${name}: a note, and a page that works`, () =>
      using(suite.open({ hash }), async (page) => {
        await works(page);
        assert.ok(await at(page, "notes").isVisible(), "no note");
        const note = await textOf(at(page, "notes"));
        assert.ok(note.length > 20 && note.length < 600, note);
        assert.equal(await page.evaluate(() => window.__pwned), undefined);
        await at(page, "notes").getByRole("button").click();
        assert.equal(await at(page, "notes").count(), 0);
      }));
  }

  test("no note without cause", () =>
    using(suite.open({ hash: "m=hnk&s=ketamine&d0=0.5&t=1&theme=dark" }), async (page) => {
      assert.equal(await at(page, "notes").count(), 0);
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    }));
});
