/** A one-compartment model for tests: absorbed from a gut, fed by an input, gone by first order; compiled by Python. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { KernelFacts } from "../src/data.ts";

const ROOT = join(import.meta.dirname, "../..");
const SCRIPT = `
import base64, json, antimony
from antagony.kernel.webassembly import build_webassembly
assert antimony.loadAntimonyString("""model oral
  gut' = -ka*gut; body' = rate + ka*gut - k*body
  gut = 0; body = 0; ka = 1.5; k = 0.05; rate = 0; c := body/20
end""") >= 0
built = build_webassembly(antimony.getSBMLString("oral"), inputs=["rate"])
names = {name: getattr(built, name) for name in ("states", "parameters", "inputs", "outputs", "fingerprint", "lanes")}
print(json.dumps({**names, "row": built.defaults.tolist(), "module": base64.b64encode(built.module).decode()}))
`;

export interface Oral {
  module: Uint8Array<ArrayBuffer>;
  facts: KernelFacts;
  row: number[];
}

/** The model, or why there is none. */
export function buildOral(): Oral | string {
  const own = join(ROOT, ".venv/bin/python");
  const python = process.env.PYTHON ?? (existsSync(own) ? own : "python3");
  const run = spawnSync(python, ["-c", SCRIPT], { encoding: "utf8" });
  if (run.status !== 0) return `no module: ${(run.error?.message ?? run.stderr).trim().split("\n").at(-1)}`;
  const { row, module, ...facts } = JSON.parse(run.stdout);
  return { module: Uint8Array.from(Buffer.from(module, "base64")), facts: { ...facts, atol: [1e-8, 1e-8] }, row };
}
