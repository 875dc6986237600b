/** Chromium with the built page in it: what every test of this folder starts from.
 *
 *   PAGE=../build/page/page.html CHROMIUM=/usr/bin/chromium node --test "browser/*.test.mjs"
 *
 * Without a Chromium the tests are skipped, with the reason; without a page they fail and say how to make one.
 */

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { chromium } from "playwright-core";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const OWN = /^(file|data|blob|about):/; // what a page opened from disk may ask for
const FACTS = /(<script type="text\/plain" id="facts">)([^<]*)(<\/script>)/;

export const PAGE = resolve(process.env.PAGE ?? join(HERE, "../../build/page/page.html"));
export const SHOTS = resolve(process.env.SHOTS ?? join(HERE, "../../build/page/shots"));
export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

export const CHROMIUM = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => path && existsSync(path));

/** For `describe(name, options, ...)`: skipped with a reason where there is no browser. */
export const needsChromium = { skip: CHROMIUM ? false : "no Chromium at $CHROMIUM, /usr/bin/chromium or /usr/bin/chromium-browser", timeout: 600_000 };

export function launch() {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGS });
}

/** HTML of the page under test. */
export function readPage() {
  assert.ok(existsSync(PAGE), `no page at ${PAGE}: make one with "antagony page" or name it in $PAGE`);
  return readFileSync(PAGE, "utf8");
}

/** What the page was told. */
export function readFacts(html = readPage()) {
  return JSON.parse(gunzipSync(Buffer.from(FACTS.exec(html)[2], "base64")));
}

/** The page with other facts in it. */
export function withFacts(html, facts) {
  const packed = gzipSync(Buffer.from(JSON.stringify(facts))).toString("base64");
  return html.replace(FACTS, (_, head, old, tail) => head + packed + tail);
}

/** A folder that is gone after the tests of the suite that asks for it. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), "antagony-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A browser for the tests of one suite, as `suite.open(...)`. */
export function openSuite() {
  const suite = { browser: null, open: (options) => open(suite.browser, options) };
  before(async () => {
    readPage();
    suite.browser = await launch();
  });
  after(() => suite.browser?.close());
  return suite;
}

/** Open the page in a context of its own and wait until it is drawn.
 *
 * `hash`: its address after "#"; `file`: another file than the page; `init`: a script that runs first; the rest are
 * Playwright's options of a context. The page gets `trouble`: errors of its console, and requests it must not make.
 */
export async function open(browser, { hash = "", file = PAGE, init, ready = true, ...options } = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, acceptDownloads: true, ...options });
  const page = await context.newPage();
  watch(context, page);
  if (init) await page.addInitScript(init);
  await page.goto(address(hash, file));
  if (ready) await page.waitForSelector(`html[data-ready="true"]`, { state: "attached", timeout: 60_000 });
  return page;
}

export function address(hash = "", file = PAGE) {
  return `${pathToFileURL(file)}${hash && `#${hash}`}`;
}

function watch(context, page) {
  page.trouble = [];
  page.on("console", (message) => message.type() === "error" && page.trouble.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => page.trouble.push(`error: ${error.message}`));
  page.on("websocket", (socket) => page.trouble.push(`request: ${socket.url()}`));
  page.on("dialog", (dialog) => {
    page.trouble.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  context.on("request", (request) => OWN.test(request.url()) || page.trouble.push(`request: ${request.url()}`));
}

/** No error, no request, and away with it. */
export async function close(page) {
  const { trouble } = page;
  await page.context().close();
  assert.deepEqual(trouble, [], "console, errors or requests");
}

/** Do something with an opened page, which must pass without any trouble. */
export async function using(opened, work) {
  const page = await opened;
  try {
    await work(page);
  } catch (error) {
    if (page.trouble.length > 0) error.message += `\nthe page also had: ${page.trouble.join("; ")}`;
    await page.context().close();
    throw error;
  }
  await close(page);
}

export const at = (page, id) => page.getByTestId(id);

/** Text as a reader has it, spaces made one. */
export async function textOf(locator) {
  return (await locator.innerText()).replace(/\s+/g, " ").trim();
}

export const sentence = (page) => textOf(at(page, "sentence"));

/** The curves as drawn: one path each, cursor and dots left out. */
export function lines(page) {
  return page.locator(`svg[data-testid="curves"] path[stroke-linejoin="round"]`).evaluateAll((paths) => paths.map((path) => path.getAttribute("d")));
}

/** Wait for the page to have settled: two frames after whatever was asked. */
export function settle(page) {
  return page.evaluate(
    () =>
      new Promise((done) => {
        requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));
        setTimeout(done, 1_000); // a browser without a screen may draw no frame at all after it was resized
      }),
  );
}

/** Until the address has followed. */
export async function hashOf(page, pattern) {
  await page.waitForFunction((source) => new RegExp(source).test(location.hash), pattern.source, { timeout: 5_000 });
  return page.evaluate(() => location.hash);
}

/** Mechanisms in the order of the list: class by class. */
export function inOrder(facts) {
  const groups = Map.groupBy(facts.mechanisms, (mechanism) => mechanism.group || "for reference");
  return [...groups.values()].flat();
}

/** Show all that is folded up: every finding, claims, methods, numbers, model text. */
export async function unfoldAll(page) {
  await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
  await at(page, "all-findings").check();
  for (let left = 20; left > 0; left--) {
    const summary = page.locator("details:not([open]) > summary").first();
    if ((await summary.count()) === 0) return;
    await summary.click();
    await settle(page);
  }
  assert.fail("details that will not open");
}

/** What a click hands to the reader: name and bytes. */
export async function download(page, id) {
  const [file] = await Promise.all([page.waitForEvent("download", { timeout: 20_000 }), at(page, id).click()]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

/** Keep a picture of what is seen, or of the `whole` page: its window is made as high as the page, for what lies out of
 * sight may not be drawn at all. */
export async function shoot(page, name, { whole = false } = {}) {
  mkdirSync(SHOTS, { recursive: true });
  const { width } = page.viewportSize();
  for (let look = 0; whole && look < 3; look++) {
    await settle(page);
    const height = await page.evaluate(() => Math.ceil(document.body.getBoundingClientRect().bottom + scrollY));
    await page.setViewportSize({ width, height: Math.min(height, 16_000) });
  }
  await settle(page);
  const path = join(SHOTS, `${name}.png`);
  await page.screenshot({ path, animations: "disabled" });
  return path;
}

/** Write a variant of the page. */
export function writePage(folder, name, html) {
  const path = join(folder, name);
  writeFileSync(path, html);
  return path;
}
