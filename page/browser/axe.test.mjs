/** axe-core finds nothing, in any state of the page. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import { at, DESKTOP, needsChromium, openSuite, PHONE, settle, unfoldAll, using } from "./browser.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const STATES = {
  light: {},
  dark: { colorScheme: "dark" },
  phone: { ...PHONE },
  "phone, dark": { ...PHONE, colorScheme: "dark" },
  "with an antagonist": { hash: "s=ketamine_naltrexone" },
  "with an antagonist, dark": { hash: "s=ketamine_naltrexone&d0=0", colorScheme: "dark" },
  "two mechanisms": { hash: "s=ketamine_naltrexone&c=direct_opioid" },
  "two mechanisms, dark": { hash: "s=ketamine_naltrexone&c=direct_opioid&theme=dark" },
  "two mechanisms on a phone": { hash: "s=ketamine_naltrexone&c=direct_opioid", ...PHONE },
  embedded: { hash: "embed=1", viewport: { width: 900, height: 600 } },
  "with a note": { hash: "m=phlogiston" },
  "help open": { act: (page) => page.keyboard.press("?"), wait: "keys" },
  "help open, dark": { colorScheme: "dark", act: (page) => page.keyboard.press("?"), wait: "keys" },
  "bands shown": { hash: "b=1" },
  "a prediction open": { act: (page) => at(page, "matrix").locator("button.open").first().click(), wait: "predictions" },
  "all unfolded": { act: unfoldAll },
  "all unfolded, dark": { colorScheme: "dark", act: unfoldAll },
  "all unfolded on a phone": { ...PHONE, act: unfoldAll },
  "SIMD lacking": { init: "WebAssembly.validate = () => false;", ready: false, wait: "plain" },
};

async function violations(page) {
  await page.addScriptTag({ content: AXE });
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  assert.ok(passes.length > 10, "axe looked at nothing");
  return violations.flatMap(({ id, impact, help, nodes }) =>
    nodes.slice(0, 3).map((node) => `${id} (${impact}, ${nodes.length} places): ${help}; ${node.target.join(" ")}; ${node.any.concat(node.all, node.none).map((check) => check.message).join("; ").slice(0, 200)}`),
  );
}

describe("axe-core", needsChromium, () => {
  const suite = openSuite();

  for (const [name, { act, wait, ...options }] of Object.entries(STATES)) {
    test(name, () =>
      using(suite.open({ viewport: DESKTOP, ...options, bypassCSP: true }), async (page) => {
        if (options.ready !== false && options.hash !== "embed=1") await page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });
        if (act) await act(page);
        if (wait) await at(page, wait).first().waitFor();
        await settle(page);
        assert.deepEqual(await violations(page), []);
      }));
  }
});
