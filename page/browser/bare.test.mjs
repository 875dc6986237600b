/** Browsers that cannot run the page are told so, and shown a picture all the same. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { at, needsChromium, openSuite, readFacts, textOf, using } from "./browser.mjs";

const LACKS = {
  "WebAssembly SIMD": { init: "WebAssembly.validate = () => false;", says: /WebAssembly SIMD/ },
  WebAssembly: { init: "delete window.WebAssembly;", says: /WebAssembly/ },
  DecompressionStream: { init: "delete window.DecompressionStream;", says: /DecompressionStream|unpack/ },
  "the right to compile": { init: "WebAssembly.instantiate = () => Promise.reject(new Error('not here'));", says: /not here/ },
};

/** The standing picture: visible, drawn, with words. */
async function picture(page) {
  const still = page.locator("#still");
  assert.ok(await still.isVisible(), "no picture in the page's place");
  const box = await still.locator("svg, img").first().boundingBox({ timeout: 2_000 });
  assert.ok(box && box.width > 250 && box.height > 200, JSON.stringify(box));
  const shapes = await still.locator("svg path").count();
  assert.ok(shapes > 5, `${shapes} shapes`);
}

describe("a browser that lacks", needsChromium, () => {
  const suite = openSuite();

  for (const [what, { init, says }] of Object.entries(LACKS)) {
    test(`${what} says so`, () =>
      using(suite.open({ init, ready: false }), async (page) => {
        await at(page, "plain").waitFor();
        assert.match(await textOf(at(page, "plain")), says);
        assert.equal(await page.evaluate(() => document.documentElement.dataset.ready), "false");
        assert.equal(await page.locator(`[data-testid="curves"]`).count(), 0);
        assert.ok((await page.locator("h1").innerText()).length > 5);
        if (what !== "DecompressionStream") assert.match(await page.locator("main").innerText(), new RegExp(readFacts().disclaimer.slice(0, 30)));
      }));
    test(`${what} shows a standing picture of the scene`, () =>
      using(suite.open({ init, ready: false }), async (page) => {
        await at(page, "plain").waitFor();
        await picture(page);
      }));
  }

  test("JavaScript says so", () =>
    using(suite.open({ javaScriptEnabled: false, ready: false }), async (page) => assert.match(await page.locator("body").innerText(), /needs JavaScript/)));

  test("JavaScript shows a standing picture of the scene", () => using(suite.open({ javaScriptEnabled: false, ready: false }), picture));

  test("nothing hides the picture", () =>
    using(suite.open(), async (page) => assert.equal(await page.locator("#still").isVisible(), false)));
});
