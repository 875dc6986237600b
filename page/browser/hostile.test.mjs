/** A case may be anyone's: whatever its texts say, they are shown as they are and nothing of them runs. */

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { at, download, needsChromium, openSuite, readFacts, readPage, settle, temporaryFolder, textOf, unfoldAll, using, withFacts, writePage } from "./browser.mjs";

const EVIL = `</script><img src=x onerror="window.__pwned=1">'"&<!--{{\`\${1}`;
const TAME = new Set(["format", "cutoff", "made"]);
// what names things, or chooses how they are drawn, is no text
const KEYS = new Set(["id", "groupId", "kind", "output", "outputs", "drug", "route", "state", "input", "from", "to", "parameter", "source", "url", "own", "grade", "mechanisms", "kernel", "row", "factors", "fraction", "F", "lag", "duration"]);

// where the case has no ranking
const RANKED = { id: "a", title: "a study", note: "a note", n: 60, bits: 0.4, bitsError: 0.1, decisive: 0.2, misleading: 0.01, burden: 3 };
const DESIGNS = { sentences: ["One study tells most."], caveats: ["A caveat."], ranked: [RANKED, { ...RANKED, id: "b", n: null }] };

/** Every text of the facts with markup at its end; what names things is left alone. */
function poisoned(value, key = "") {
  if (typeof value === "string") return TAME.has(key) || KEYS.has(key) ? value : `${value} ${EVIL}`;
  if (Array.isArray(value)) return KEYS.has(key) ? value : value.map((item) => poisoned(item, key));
  if (value === null || typeof value !== "object" || KEYS.has(key)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, name === "dosing" || name === "factors" ? item : poisoned(item, name)]));
}

describe("hostile facts", needsChromium, () => {
  const suite = openSuite();
  const folder = temporaryFolder();
  let file;
  before(() => {
    const { mechanisms, ...rest } = readFacts();
    rest.designs ??= DESIGNS;
    const facts = { ...poisoned(rest), mechanisms: mechanisms.map((mechanism) => poisoned(mechanism)) };
    file = writePage(folder, "hostile.html", withFacts(readPage(), facts));
  });

  /** No element that a text brought, nothing run. */
  const harmless = async (page) => {
    await page.waitForTimeout(300);
    assert.equal(await page.evaluate(() => window.__pwned), undefined, "a text ran");
    assert.equal(await page.locator("img").count(), 0, "a text became an element");
  };

  test("texts are shown literally, everywhere", () =>
    using(suite.open({ file, hash: "s=ketamine_naltrexone&c=hnk" }), async (page) => {
      await unfoldAll(page);
      await at(page, "matrix").locator("button.open").first().click();
      await settle(page);
      await harmless(page);
      const literal = EVIL.replace(/\s+/g, " ");
      for (const id of ["disclaimer", "statement", "statement-compared", "matrix", "designs", "methods", "predictions", "claims", "parameters"])
        assert.ok((await at(page, id).textContent()).replace(/\s+/g, " ").includes(literal), `${id} does not show it literally`);
      assert.ok((await page.title()).includes(EVIL));
      assert.ok((await page.locator("h1, .lead").allTextContents()).join().includes("<img src=x"));
      assert.ok((await textOf(at(page, "sentence"))).includes("<img src=x"));
    }));

  test("every scene and the help, too", () =>
    using(suite.open({ file }), async (page) => {
      for (const { id } of readFacts().scenes) await at(page, `scene-${id}`).click();
      await at(page, "bands").check();
      await page.keyboard.press("?");
      await at(page, "keys").waitFor();
      await harmless(page);
    }));

  test("files of it are harmless", () =>
    using(suite.open({ file, hash: "m=hnk&s=ketamine_naltrexone" }), async (page) => {
      await at(page, "methods").locator("summary").first().click();
      const svg = String((await download(page, "download-svg")).bytes);
      const found = await page.evaluate((text) => {
        const { documentElement } = new DOMParser().parseFromString(text, "image/svg+xml");
        const all = [documentElement, ...documentElement.querySelectorAll("*")];
        return { root: documentElement.localName, names: all.map((e) => e.localName).filter((name) => /script|img|foreignObject|iframe|parsererror/.test(name)), handlers: all.flatMap((e) => [...e.attributes]).filter((a) => /^on/i.test(a.name)).length };
      }, svg);
      assert.deepEqual(found, { root: "svg", names: [], handlers: 0 });
      assert.match((await download(page, "download-csv")).name, /^[\w.-]+\.csv$/);
      assert.equal((await download(page, "download-png")).bytes[0], 0x89);
      await harmless(page);
    }));

  test("and so is the page that cannot simulate", () =>
    using(suite.open({ file, init: "WebAssembly.validate = () => false;", ready: false }), async (page) => {
      await at(page, "plain").waitFor();
      await harmless(page);
      assert.ok((await page.locator("main").textContent()).includes("<img src=x"));
    }));
});

describe("broken facts", needsChromium, () => {
  const suite = openSuite();
  const folder = temporaryFolder();
  const BROKEN = {
    "of another format": [(html) => withFacts(html, { ...readFacts(html), format: 99 }), /format 99/],
    "cut short": [(html) => html.replace(/(id="facts">[^<]{400})[^<]*/, "$1"), /did not start/],
    "that are no base64": [(html) => html.replace(/(id="facts">)[^<]*/, "$1%%%"), /did not start/],
    "that are not there": [(html) => html.replace(/<script type="text\/plain" id="facts">[^<]*<\/script>/, ""), /empty page/],
    "without their first kernel": [(html) => html.replace(/<script type="text\/plain" class="kernel"[^>]*>[^<]*<\/script>/, ""), /did not start/],
  };
  for (const [name, [break_, says]] of Object.entries(BROKEN)) {
    test(`${name}: the page says so`, () =>
      using(suite.open({ file: writePage(folder, "broken.html", break_(readPage())), ready: false }), async (page) => {
        await at(page, "plain").waitFor();
        assert.match(await textOf(at(page, "plain")), says);
      }));
  }
});
