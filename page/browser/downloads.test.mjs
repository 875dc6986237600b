/** Files that a reader takes away. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { at, download, lines, needsChromium, openSuite, readFacts, settle, using } from "./browser.mjs";

const NAME = /^[A-Za-z0-9_-]+(_[A-Za-z0-9_.-]+)*\.(csv|svg|png|ant|xml)$/;

async function openFiles(page) {
  await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
  await at(page, "methods").locator("summary").first().click();
  await at(page, "download-csv").waitFor();
}

function unfold({ lines: all }, runs) {
  return Array.from({ length: runs.length / 2 }, (_, i) => all.slice(runs[2 * i], runs[2 * i] + runs[2 * i + 1])).flat().join("\n");
}

/** The root's name, and what a parser says against it. */
function parse(page, text, type) {
  return page.evaluate(
    ([text, type]) => {
      const { documentElement: root } = new DOMParser().parseFromString(text, type);
      const all = [root, ...root.querySelectorAll("*")];
      return {
        root: root.localName,
        space: root.namespaceURI,
        error: root.querySelector("parsererror")?.textContent ?? (root.localName === "parsererror" ? root.textContent : null),
        names: [...new Set(all.map((element) => element.localName))],
        scripts: all.filter((e) => e.localName === "script" || [...e.attributes].some((a) => /^on/.test(a.name) || /javascript:/.test(a.value))).length,
        unresolved: all.flatMap((e) => [...e.attributes].map((a) => a.value)).filter((value) => /var\(|NaN|undefined/.test(value)).slice(0, 3),
        text: root.textContent.replace(/\s+/g, " "),
      };
    },
    [text, type],
  );
}

describe("downloads", needsChromium, () => {
  const suite = openSuite();
  const hash = "m=direct_opioid&s=ketamine_naltrexone";

  test("Antimony and SBML are the model's own texts", () =>
    using(suite.open({ hash }), async (page) => {
      const { texts } = readFacts();
      await openFiles(page);
      const antimony = await download(page, "download-antimony");
      assert.match(antimony.name, NAME);
      assert.equal(String(antimony.bytes).trimEnd(), unfold(texts, texts.antimony.direct_opioid).trimEnd());
      assert.match(String(antimony.bytes), /\bmodel\b[\s\S]+\bend\s*$/);
      const sbml = await download(page, "download-sbml");
      assert.match(sbml.name, NAME);
      assert.equal(String(sbml.bytes).trimEnd(), unfold(texts, texts.sbml.direct_opioid).trimEnd());
      const { root, space, error, names } = await parse(page, String(sbml.bytes), "application/xml");
      assert.equal(error, null);
      assert.equal(root, "sbml");
      assert.match(space, /^http:\/\/www\.sbml\.org\/sbml\/level\d/);
      assert.ok(names.includes("rateRule") || names.includes("reaction"));
    }));

  test("curves as CSV: every arm, every time, nothing but numbers", () =>
    using(suite.open({ hash }), async (page) => {
      const scene = readFacts().scenes.find(({ id }) => id === "ketamine_naltrexone");
      await openFiles(page);
      const { name, bytes } = await download(page, "download-csv");
      assert.match(name, NAME);
      const [head, ...rows] = String(bytes).trimEnd().split("\n").map((line) => line.split(","));
      assert.deepEqual(head.slice(0, 2), ["time_h", "arm"]);
      assert.ok(head.includes("score") && head.length > 5 && new Set(head).size === head.length);
      assert.deepEqual([...new Set(rows.map((row) => row[1]))], ["scene", "without", "no_drug"]);
      for (const arm of ["scene", "without", "no_drug"])
        assert.deepEqual(rows.filter((row) => row[1] === arm).map((row) => Number(row[0])), scene.times);
      for (const row of rows) {
        assert.equal(row.length, head.length);
        for (const cell of row.toSpliced(1, 1)) assert.ok(cell !== "" && Number.isFinite(Number(cell)), `"${cell}"`);
      }
      const score = head.indexOf("score");
      const trial = readFacts().trial;
      assert.ok(rows.every((row) => Number(row[score]) >= 0 && Number(row[score]) <= trial.max));
    }));

  test("a changed dose is in the file's name and numbers", () =>
    using(suite.open({ hash: `${hash}&d0=100` }), async (page) => {
      await openFiles(page);
      const changed = await download(page, "download-csv");
      await page.keyboard.press("r");
      await settle(page);
      const own = await download(page, "download-csv");
      assert.notEqual(changed.name, own.name);
      assert.notEqual(String(changed.bytes), String(own.bytes));
    }));

  for (const compare of ["", "&c=hnk"]) {
    test(`a picture that stands alone, as SVG and PNG${compare && ", of two mechanisms"}`, () =>
      using(suite.open({ hash: hash + compare }), async (page) => {
        const { mechanisms } = readFacts();
        await openFiles(page);
        const svg = await download(page, "download-svg");
        assert.match(svg.name, NAME);
        const found = await parse(page, String(svg.bytes), "image/svg+xml");
        assert.equal(found.error, null);
        assert.deepEqual([found.root, found.space], ["svg", "http://www.w3.org/2000/svg"]);
        assert.equal(found.scripts, 0);
        assert.deepEqual(found.unresolved, [], "looks that only the page's style sheet resolves");
        for (const id of ["direct_opioid", ...(compare ? ["hnk"] : [])]) assert.ok(found.text.includes(mechanisms.find((m) => m.id === id).title));
        assert.equal((String(svg.bytes).match(/stroke-linejoin="round"/g) ?? []).length >= (await lines(page)).length, true);
        const png = await download(page, "download-png");
        assert.match(png.name, NAME);
        assert.deepEqual([...png.bytes.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
        assert.equal(String(png.bytes.subarray(-8, -4)), "IEND");
        const picture = await page.evaluate(async (base64) => {
          const image = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type: "image/png" }));
          const canvas = new OffscreenCanvas(image.width, image.height);
          const pen = canvas.getContext("2d");
          pen.drawImage(image, 0, 0);
          const { data } = pen.getImageData(0, 0, image.width, image.height);
          return { width: image.width, height: image.height, colours: new Set(new Uint32Array(data.buffer)).size };
        }, png.bytes.toString("base64"));
        assert.ok(picture.width > 1200 && picture.height > 600 && picture.colours > 50, JSON.stringify(picture));
      }));
  }
});
