/** Every scene and every mechanism draws, tells no story but its own, and asks nobody for anything. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { at, inOrder, lines, needsChromium, openSuite, readFacts, readPage, sentence, settle, textOf, unfoldAll, using } from "./browser.mjs";

/** How the sentence names a node: its label, or where that is cut short ("mu: antagonist") the title of its output. */
function nameOf(facts, id) {
  const { label, output } = facts.nodes[id];
  return label.includes(":") ? (facts.outputs[output]?.title ?? label) : label;
}

const nodesOf = (mechanism) => new Set(mechanism.edges.flatMap((edge) => [edge.from, edge.to]));
const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const word = (text) => new RegExp(`(?<![\\w-])${literal(text)}(?![\\w-])`, "giu");

/** Names in a text that are none of a mechanism's nodes, and drugs that the scene does not give. */
function strangers(facts, mechanism, scene, text) {
  const own = [...nodesOf(mechanism)].map((id) => nameOf(facts, id)).sort((a, b) => b.length - a.length);
  const rest = own.reduce((left, name) => left.replace(word(name), "·"), text);
  const given = new Set(scene.doses.map((dose) => dose.drug));
  const others = Object.keys(facts.nodes).map((id) => nameOf(facts, id)).filter((name) => !own.includes(name));
  const drugs = Object.keys(facts.drugs).filter((drug) => !given.has(drug)).map((drug) => facts.drugs[drug].title.replace(/ \(.*/, ""));
  return [...others, ...drugs].filter((name) => word(name).test(rest));
}

const SIGNS = [
  [/\b(?:would )?raises? it\b/, 1],
  [/\bholds? it down\b|\bwould lower it\b/, -1],
  [/\b(?:lets?|would let) it fall\b/, 1],
  [/\b(?:lets?|would let) it rise\b/, -1],
];
const DOES = new RegExp(SIGNS.map(([pattern]) => pattern.source).join("|"), "g");

/** What a text says of causes, as [from, to, sign]: "A lowers B", "..., which lets B rise", "B is at 2: A and C hold it down". */
function causesIn(facts, text) {
  const ids = new Map(Object.keys(facts.nodes).map((id) => [nameOf(facts, id).toLowerCase(), id]));
  const name = `(?<![\\w-])(${[...ids.keys()].sort((a, b) => b.length - a.length).map(literal).join("|")})(?![\\w-])`;
  const found = [];
  const namesIn = (part) => [...part.matchAll(new RegExp(name, "giu"))].map((match) => ids.get(match[1].toLowerCase()));
  for (const part of text.split(/\.\s+|\.$/)) {
    const verbs = [...part.matchAll(new RegExp(`\\b(raises|lowers|lets) ${name}( rise| fall)?`, "giu"))];
    for (const { index, 1: verb, 2: to, 3: way } of verbs) {
      const sign = verb === "raises" || way === " fall" ? 1 : -1;
      found.push([namesIn(part.slice(0, index)).at(-1), ids.get(to.toLowerCase()), sign]);
    }
    let from = 0;
    for (const { 0: words, index } of part.matchAll(DOES)) {
      const [subject] = namesIn(part.replace(/^.*?(?:after|before|dose|starts|day)[^:]*: /, ""));
      const [, sign] = SIGNS.find(([pattern]) => pattern.test(words));
      const causes = namesIn(part.slice(from, index));
      found.push(...causes.slice(from === 0 ? 1 : 0).map((cause) => [cause, subject, sign]));
      from = index + words.length;
    }
  }
  return found;
}

const BENDS = 9; // points that the most bent of a scene's curves needs at least

/** What is wrong with the pictures shown: too few curves, points off the numbers, nodes that lack. */
async function flaws(page, facts, mechanism) {
  const paths = await lines(page);
  const drawn = await at(page, `diagram-${mechanism.id}`).evaluate((svg) => ({
    text: svg.parentElement.innerText,
    numbers: [...svg.querySelectorAll("*")].flatMap((element) => [...element.attributes].map((attribute) => attribute.value)).filter((value) => /NaN|undefined|Infinity/.test(value)),
  }));
  const stray = await at(page, "curves").evaluate((svg) => [...svg.querySelectorAll("*")].flatMap((e) => [...e.attributes].map((a) => a.value)).filter((value) => /NaN|undefined|Infinity/.test(value)));
  const found = [];
  if (paths.length < 2) found.push(`${paths.length} curves`);
  const points = paths.map((path) => [...path.matchAll(/(-?[\d.]+),-?[\d.]+/g)].map(([, across]) => Number(across)));
  const width = Math.max(...points.flat()) - Math.min(...points.flat());
  if (points.some((across) => across.length < 2 || across.at(-1) - across[0] < 0.9 * width)) found.push("a curve that stops short");
  if (Math.max(...points.map((across) => across.length)) < BENDS) found.push(`no curve bends: ${points.map((across) => across.length)} points`);
  if (stray.length + drawn.numbers.length > 0) found.push(`drawn with ${[...stray, ...drawn.numbers][0]}`);
  const folded = drawn.text.replace(/\s+/g, "");
  for (const id of nodesOf(mechanism)) if (!folded.includes(facts.nodes[id].label.replace(/\s+/g, ""))) found.push(`no node ${id}`);
  return found;
}

describe("scenes and mechanisms", needsChromium, () => {
  const suite = openSuite();

  test("the page opens with a picture, a sentence and what it is not", () =>
    using(suite.open(), async (page) => {
      const facts = readFacts();
      assert.equal(await page.title(), facts.title);
      assert.match(await textOf(at(page, "disclaimer")), /^Not medical advice/);
      assert.match(await sentence(page), /^.+: .+\.$/);
      assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
      assert.deepEqual(await flaws(page, facts, facts.mechanisms[0]), []);
    }));

  test("every scene opens by its button", () =>
    using(suite.open(), async (page) => {
      const facts = readFacts();
      const seen = new Set();
      for (const scene of facts.scenes) {
        await at(page, `scene-${scene.id}`).click();
        await settle(page);
        assert.equal(await at(page, `scene-${scene.id}`).getAttribute("aria-pressed"), "true");
        assert.equal(await page.locator(`[data-testid^="scene-"][aria-pressed="true"]`).count(), 1);
        assert.deepEqual(await flaws(page, facts, facts.mechanisms[0]), [], scene.id);
        assert.equal(await page.locator(`[data-testid^="dose-"]`).count(), scene.controls.length, scene.id);
        seen.add((await lines(page)).join() + (await sentence(page)));
      }
      assert.equal(seen.size, facts.scenes.length, "two scenes look alike");
    }));

  test("no mechanism names a node or a cause that is none of its own, in any scene, at any time", () =>
    using(suite.open(), async (page) => {
      const facts = readFacts();
      const wrong = [];
      let said = 0;
      for (const scene of facts.scenes) {
        await at(page, `scene-${scene.id}`).click();
        for (const mechanism of facts.mechanisms) {
          const edges = new Set(mechanism.edges.map((edge) => [edge.from, edge.to, edge.sign].join()));
          await at(page, `mechanism-${mechanism.id}`).click();
          await page.waitForSelector(`[data-testid="diagram-${mechanism.id}"]`);
          assert.equal(await at(page, `mechanism-${mechanism.id}`).getAttribute("aria-selected"), "true");
          const flawed = await flaws(page, facts, mechanism);
          if (flawed.length > 0) wrong.push(`${scene.id}, ${mechanism.id}: ${flawed}`);
          for (const place of [0, 120, 200, 280, 340, 400]) {
            await at(page, "time").fill(String(place));
            const told = await sentence(page);
            const foreign = strangers(facts, mechanism, scene, told);
            if (foreign.length > 0) wrong.push(`${scene.id}, ${mechanism.id}: names ${foreign} in "${told}"`);
            const causes = causesIn(facts, told).map((cause) => cause.join());
            const invented = causes.filter((cause) => !edges.has(cause));
            said += causes.length;
            if (invented.length > 0) wrong.push(`${scene.id}, ${mechanism.id}: no such edge as ${invented.join("; ")} in "${told}"`);
            if (/NaN|undefined|null|no value|\.\.|::| {2}/.test(told)) wrong.push(`${scene.id}, ${mechanism.id}: "${told}"`);
          }
        }
      }
      assert.deepEqual(wrong, []);
      assert.ok(said > 300, `${said} causes told`);
    }));

  test("a tab shows its mechanism's title and statement", () =>
    using(suite.open(), async (page) => {
      for (const mechanism of inOrder(readFacts())) {
        await at(page, `mechanism-${mechanism.id}`).click();
        const shown = page.locator("section", { has: at(page, `diagram-${mechanism.id}`) });
        await shown.waitFor();
        assert.equal(await textOf(shown.getByRole("heading")), mechanism.title);
        assert.equal(await textOf(at(page, "statement")), mechanism.statement.replace(/\s+/g, " ").trim());
        assert.match(await textOf(at(page, `mechanism-${mechanism.id}`)), new RegExp(`${mechanism.explains}/${mechanism.findings}`));
      }
    }));

  test("each rival's probability is the range over the priors, in words and as a bar", () =>
    using(suite.open(), async (page) => {
      const { mechanisms, weighing } = readFacts();
      assert.match(await page.locator(".rivals .key").innerText(), new RegExp(`range over ${weighing.priors.length} stated priors`));
      const widths = new Set();
      const told = mechanisms.filter(({ probability }) => probability !== null);
      assert.ok(told.some(({ probability: { low, high } }) => high - low > 0.1));
      for (const { id, probability: { low, high } } of told) {
        const tab = at(page, `mechanism-${id}`);
        if (low > 0.01 && high - low > 0.01) {
          const text = (await tab.innerText()).replace(/\s+/g, " "); // what is only heard is in it, too
          assert.match(text, new RegExp(`probability ?${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)} %$`));
        }
        widths.add(await tab.locator(".bar").evaluate((track) => track.clientWidth));
        const [from, to] = await tab.locator(".bar").evaluate((track) => {
          const [whole, part] = [track.getBoundingClientRect(), track.firstElementChild.getBoundingClientRect()];
          return [(part.left - whole.left) / whole.width, (part.right - whole.left) / whole.width];
        });
        assert.ok(Math.abs(from - Math.min(low, 0.985)) < 0.01 && Math.abs(to - Math.max(high, from + 0.015)) < 0.01, `${id}: ${from} to ${to}`);
      }
      const shown = mechanisms.find(({ id }) => id === "camp_crosstalk").probability;
      const paper = at(page, "on-paper-0");
      assert.ok(!(await paper.isVisible()));
      await page.emulateMedia({ media: "print" });
      assert.ok(await paper.isVisible());
      assert.match(await paper.innerText(), new RegExp(`probability ${(100 * shown.low).toFixed(0)} to ${(100 * shown.high).toFixed(0)} %, range over ${weighing.priors.length} stated priors`));
      assert.equal(widths.size, 1, "bars on tracks of different lengths do not compare");
    }));

  test("labels of ticks keep clear of the titles above and below", () =>
    using(suite.open(), async (page) => {
      const lines = await at(page, "curves").evaluate((svg) =>
        [...svg.querySelectorAll(".title, .tick")].map((text) => ({ text: text.textContent, title: text.classList.contains("title"), base: text.getScreenCTM().f + text.y.baseVal[0].value })),
      );
      const [titles, labels] = [lines.filter(({ title }) => title), lines.filter(({ title }) => !title)];
      assert.ok(titles.length > 2 && labels.length > titles.length);
      for (const title of titles) {
        const above = Math.min(...labels.map(({ base }) => title.base - base).filter((up) => up > 0));
        const under = Math.min(...labels.map(({ base }) => base - title.base).filter((down) => down > 0));
        assert.ok(under >= 14, `${title.text}: a label ${under} px below`); // 9 px of digits, 3 of letters that reach down
        assert.ok(above >= 16, `${title.text}: a label ${above} px above`); // 11 px of letters, and some air
      }
    }));

  test("without its antagonist a scene is the one without", () =>
    using(suite.open({ hash: "s=ketamine_naltrexone" }), async (page) => {
      const before = await lines(page);
      await at(page, "antagonist").click();
      await settle(page);
      assert.equal(await at(page, "antagonist").getAttribute("aria-checked"), "false");
      assert.notDeepEqual(await lines(page), before);
      await at(page, "antagonist").click();
      await settle(page);
      assert.deepEqual(await lines(page), before);
    }));

  test("bands of virtual patients are computed while the page waits", () =>
    using(suite.open(), async (page) => {
      const before = await page.locator(`svg[data-testid="curves"] path[opacity="0.16"]`).count();
      await at(page, "bands").check();
      await page.waitForSelector(`svg[data-testid="curves"] path[opacity="0.16"]`, { state: "attached", timeout: 60_000 });
      assert.equal(before, 0);
      assert.match(await textOf(page.locator(".curves .key")), new RegExp(`of ${readFacts().patients.size} virtual`));
      const broken = await page.locator(`svg[data-testid="curves"] path`).evaluateAll((paths) => paths.filter((path) => /NaN|Infinity/.test(path.getAttribute("d"))).length);
      assert.equal(broken, 0);
    }));

  test("findings, claims, designs, numbers and model text all open", () =>
    using(suite.open(), async (page) => {
      const facts = readFacts();
      await unfoldAll(page);
      const rows = (id) => at(page, id).locator("tbody tr").count();
      assert.equal(await rows("parameters"), new Set(facts.mechanisms[0].parameters).size, "rows of the table of numbers");
      assert.equal(await rows("claims"), facts.claims.filter((claim) => claim.own === "").length);
      assert.equal(await at(page, "matrix").locator("button.open").count(), facts.findings.length);
      await at(page, "matrix").locator("button.open").first().click();
      assert.equal(await at(page, "predictions").locator("li").count(), facts.mechanisms.length);
      if (facts.designs) assert.ok((await rows("designs")) > 0);
      const grades = await at(page, "grade").locator("option").evaluateAll((options) => options.map((option) => option.value));
      for (const grade of grades.filter(Boolean)) {
        await at(page, "grade").selectOption(grade);
        const shown = await at(page, "parameters").locator("tbody tr td:nth-child(4)").allInnerTexts();
        assert.ok(shown.length > 0 && shown.every((text) => text.startsWith(grade)), grade);
      }
    }));

  test("every link is https and tells the other side nothing of this page", () =>
    using(suite.open({ hash: "s=ketamine_naltrexone" }), async (page) => {
      await unfoldAll(page);
      const links = [];
      for (const scene of readFacts().scenes) {
        await at(page, `scene-${scene.id}`).click();
        await settle(page);
        const found = await page.locator("a").evaluateAll((all) => all.map((a) => ({ href: a.getAttribute("href"), rel: a.getAttribute("rel") ?? "", target: a.getAttribute("target"), name: a.textContent.trim() || a.getAttribute("aria-label") })));
        links.push(...found.filter((link) => link.href !== null));
      }
      assert.ok(links.length > 20, `${links.length} links`);
      const wrong = links.filter(({ href, rel, name }) => !/^https:\/\/[\w.-]+\/\S*$/.test(href) || !URL.canParse(href) || !/\b(noopener|noreferrer)\b/.test(rel) || !name);
      assert.deepEqual([...new Set(wrong.map((link) => JSON.stringify(link)))], []);
    }));

  test("the file names nothing that a browser would fetch", () => {
    const html = readPage();
    assert.match(html, /http-equiv="Content-Security-Policy" content="default-src 'none';/);
    const shell = html.replace(/<script type="text\/plain"[^>]*>[^<]*<\/script>/g, "");
    assert.equal(/<(script|img|iframe|source|audio|video)\b[^>]*\ssrc=["']?(?!data:|blob:)/i.test(shell.replace(/<script[^>]*>[\s\S]*?<\/script>/g, "")), false);
    assert.equal(/<link\b[^>]*\shref=["'](?!data:)/i.test(shell), false);
    assert.equal(/@import|url\(\s*["']?(?!data:|#)/i.test(shell.match(/<style>[\s\S]*?<\/style>/g)?.join("") ?? ""), false);
  });
});
