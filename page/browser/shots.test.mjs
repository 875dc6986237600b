/** Pictures to be looked at, in $SHOTS. */

import { describe, test } from "node:test";
import { at, DESKTOP, needsChromium, openSuite, PHONE, readFacts, shoot, unfoldAll, using } from "./browser.mjs";

const WHOLE = { whole: true };
const below = (page) => page.waitForSelector(`[data-testid="methods"]`, { state: "attached" });

describe("screenshots", needsChromium, () => {
  const suite = openSuite();
  const picture = (name, options, act, how) =>
    test(name, () =>
      using(suite.open({ viewport: DESKTOP, ...options }), async (page) => {
        await act?.(page);
        await shoot(page, name, how);
      }));

  picture("desktop", {});
  picture("desktop-whole", {}, below, WHOLE);
  picture("desktop-unfolded", {}, unfoldAll, WHOLE);
  picture("dark", { colorScheme: "dark", hash: "s=ketamine_naltrexone" });
  picture("dark-whole", { colorScheme: "dark", hash: "s=ketamine_naltrexone" }, below, WHOLE);
  picture("compare", { hash: "s=ketamine_naltrexone&c=direct_opioid" });
  picture("bands", { hash: "s=ketamine_naltrexone&b=1" }, (page) => page.waitForSelector(`svg[data-testid="curves"] path[opacity="0.16"]`, { state: "attached" }));
  picture("embed", { hash: "s=ketamine_naltrexone&embed=1", viewport: { width: 1000, height: 700 } });
  picture("help", {}, (page) => page.keyboard.press("?"));
  picture("note", { hash: "m=phlogiston&d0=1e9" });
  picture("tablet", { viewport: { width: 820, height: 1180 }, hash: "s=ketamine_naltrexone" });
  picture("projector", { viewport: { width: 1920, height: 1080 }, hash: "s=ketamine_naltrexone" });
  picture("phone", { ...PHONE, hash: "s=ketamine_naltrexone" });
  picture("phone-whole", { ...PHONE, hash: "s=ketamine_naltrexone" }, below, WHOLE);
  picture("phone-dark", { ...PHONE, colorScheme: "dark" });
  picture("phone-compare", { ...PHONE, hash: "s=ketamine_naltrexone&c=direct_opioid" }, below, WHOLE);
  picture("without-simd", { init: "WebAssembly.validate = () => false;", ready: false }, (page) => at(page, "plain").waitFor());
  picture("print", { hash: "s=ketamine_naltrexone", viewport: { width: 794, height: 1123 } }, async (page) => {
    await below(page);
    await page.emulateMedia({ media: "print" });
  }, WHOLE);

  test("every scene and every mechanism", () =>
    using(suite.open(), async (page) => {
      const { scenes, mechanisms } = readFacts();
      for (const { id } of scenes) {
        await at(page, `scene-${id}`).click();
        await shoot(page, `scene-${id}`);
      }
      await at(page, "scene-ketamine_naltrexone").click();
      for (const { id } of mechanisms) {
        await at(page, `mechanism-${id}`).click();
        await page.waitForSelector(`[data-testid="diagram-${id}"]`);
        await shoot(page, `mechanism-${id}`);
      }
    }));
});
