/** Drive the page through every mechanism and scene and keep the CSV that it hands out.
 *
 *   PAGE=../build/page/page.html node browser/curves.mjs <folder>
 *   ../.venv/bin/python browser/compare.py <folder>
 *
 * Every file is a real download: the scene's button, the mechanism's tab, the button "curves, CSV". The scenes keep their
 * own doses.
 */

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { at, close, download, launch, open, readFacts, settle } from "./browser.mjs";

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error("usage: node browser/curves.mjs <folder>");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
const { mechanisms, scenes } = readFacts();
const browser = await launch();
try {
  const page = await open(browser);
  await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
  await at(page, "methods").locator("summary").first().click();
  for (const scene of scenes) {
    await at(page, `scene-${scene.id}`).click();
    for (const mechanism of mechanisms) {
      await at(page, `mechanism-${mechanism.id}`).click();
      await page.waitForSelector(`[data-testid="diagram-${mechanism.id}"]`);
      await settle(page);
      assert.equal(await at(page, `scene-${scene.id}`).getAttribute("aria-pressed"), "true");
      const { name, bytes } = await download(page, "download-csv");
      assert.ok(name.startsWith(`${mechanism.id}_${scene.id}_`), `${name} is not of ${mechanism.id} in ${scene.id}`);
      writeFileSync(join(folder, `${mechanism.id}-${scene.id}.csv`), bytes);
    }
  }
  await close(page);
} finally {
  await browser.close();
}
console.log(`${mechanisms.length} mechanisms x ${scenes.length} scenes: ${mechanisms.length * scenes.length} files in ${folder}`);
