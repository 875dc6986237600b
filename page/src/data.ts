/** What a page is told by `antagony page`: the whole contract between the Python builder and this front end.
 *
 * Embedded in the document as
 *   <script type="text/plain" id="facts">base64 of gzip of this JSON</script>
 *   <script type="text/plain" class="kernel" data-mechanism="slug">base64 of gzip of a WebAssembly module</script>
 * Numbers are doubles written so that they come back bit for bit. Times are hours; 0 is the reference dose.
 */

export const FORMAT = 1;

export interface Facts {
  format: number;
  title: string;
  question: string;
  disclaimer: string;
  cutoff: string;
  version: string;
  caseHash: string;
  made: string; // ISO date
  compiler: string;
  seed: number;
  tolerances: { relative: number; absolute: number };
  trial: { scale: string; max: number; baseline: number; bodyweight: number };
  outputs: Record<string, Output>;
  nodes: Record<string, Node>; // symbols that edges name
  tracks: Track[]; // the stacked charts, top to bottom
  drugs: Record<string, Drug>;
  dosing: Record<string, number>; // parameters that only routes need, and bodyweight [kg]
  scenes: Scene[];
  mechanisms: Mechanism[];
  patients: Patients;
  parameters: Parameter[]; // every number of every mechanism, the shared ones once
  texts: Texts;
  claims: Claim[];
  findings: Finding[];
  weighing: Weighing | null;
  designs: Designs | null;
  sources: Record<string, Source>; // by key, as in Parameter.source and Finding.source
  caveats: string[];
}

export interface Output {
  title: string;
  short: string;
  unit: string;
}

/** How a node of the causal graph is shown. `output` is what is read for it (often the relative form of its symbol). */
export interface Node {
  output: string;
  label: string; // short, for the diagram
  kind: "share" | "relative" | "points" | "plain";
  /** share: 0 to 1, rest 0, shown as a percentage; relative: 1 at rest, shown as "1.8 x rest"; points: of the scale;
   * plain: own units, judged against its value at rest. */
}

export interface Track {
  id: string;
  title: string;
  outputs: string[]; // those that a mechanism lacks are left out
  kind: Node["kind"];
}

export interface Drug {
  title: string;
  nmolPerMg: number;
  caveat: string;
  antagonist: boolean; // an opioid antagonist: the drug that a ghost curve leaves out
  routes: Record<string, Target[]>;
}

export interface Target {
  state: string;
  input: string;
  fraction: Amount;
  F: Amount;
  lag: Amount;
  duration: Amount;
}

/** A number, the id of a parameter (in Mechanism.row or Facts.dosing), or a table by dose [mg]. */
export type Amount = number | string | { doses: number[]; values: number[] };

export interface Dose {
  drug: string;
  amount: number; // [mg], or [mg/kg] where perKg
  perKg: boolean;
  route: string;
  time: number;
  duration: number; // of an infusion, 0: at once
  rate: number;
  interval: number;
  additional: number; // further doses, one each interval
}

export interface Scene {
  id: string;
  title: string;
  short: string; // for a button
  note: string;
  regimen: string; // prescription text
  until: number;
  opens: number; // the moment shown first
  times: number[]; // of the curves, ascending; their first is the run's beginning
  doses: Dose[];
  controls: Control[];
  observed: Observed[];
}

/** A slider on one dose of a scene. */
export interface Control {
  dose: number; // index into Scene.doses
  label: string;
  unit: string;
  low: number;
  high: number;
  step: number;
  allowed: number[] | null; // where only some doses are known (a table by dose), else null
}

/** A published number that belongs on a curve of this scene at its own doses.
 *
 * change: mean change of one arm [points of `scale`, rescaled to the case's scale by `factor`];
 * contrast: this scene minus no drug; value: the output itself. */
export interface Observed {
  output: string;
  kind: "change" | "contrast" | "value";
  time: number;
  value: number;
  low: number | null;
  high: number | null;
  factor: number;
  study: string;
  text: string;
  source: string;
}

export interface Mechanism {
  id: string;
  title: string;
  group: string; // title of its class
  groupId: string;
  statement: string;
  reference: boolean;
  edges: Edge[];
  explains: number;
  findings: number;
  claimsKept: number; // of Facts.claims
  probability: Span | null; // over the stated priors
  partial: { value: number; error: number } | null; // log partial Bayes factor over the reference "unexplained"
  calibrated: boolean;
  assumed: number;
  numbers: number;
  kernel: KernelFacts;
  row: number[]; // nominal parameters, one for each kernel.parameters, trial included
  outputs: string[]; // readouts of this mechanism
  parameters: number[]; // indices into Facts.parameters
}

/** The lowest and the highest of some numbers. */
export interface Span {
  low: number;
  high: number;
}

export interface Edge {
  from: string;
  to: string;
  sign: 1 | -1;
  parameter: string;
  note: string;
}

export interface KernelFacts {
  fingerprint: string;
  lanes: number;
  states: string[];
  parameters: string[];
  inputs: string[];
  outputs: string[]; // all that can be read, in the kernel's order
  atol: number[]; // absolute tolerance of each state, in its own unit
}

/** Virtual patients: factor by which each differs from the typical value, by parameter id (subject). */
export interface Patients {
  size: number;
  seed: number;
  factors: Record<string, number[]>;
}

export interface Parameter {
  id: string;
  value: number;
  unit: string;
  meaning: string;
  grade: string;
  source: string;
  prior: string; // in words, empty without one
  mechanisms: string[] | null; // null: shared by all
}

/** Model texts, their lines kept once: a text is runs of lines, [first line, how many] by turns. */
export interface Texts {
  lines: string[];
  antimony: Record<string, number[]>;
  sbml: Record<string, number[]>;
}

export interface Claim {
  id: string;
  statement: string;
  source: string;
  own: string; // mechanism id where only it is asked, else ""
  results: Record<string, ClaimResult>;
}

export interface ClaimResult {
  holds: boolean;
  share: number;
  error: number;
}

export interface Finding {
  id: string;
  study: string; // title of the study
  year: string;
  text: string;
  observed: string; // as published, in words
  source: string;
  animals: boolean;
  results: Record<string, FindingResult>;
}

export interface FindingResult {
  agrees: boolean | null; // null: cannot be said
  predicted: number | null; // null: no prediction
  low: number | null;
  high: number | null;
}

export interface Weighing {
  priors: string[]; // those that Mechanism.probability spans, in words
  sentences: string[];
  fragile: string[];
}

export interface Designs {
  sentences: string[];
  caveats: string[];
  ranked: RankedDesign[];
}

export interface RankedDesign {
  id: string;
  title: string;
  note: string;
  n: number | null; // null: animals
  bits: number;
  bitsError: number;
  decisive: number;
  misleading: number;
  burden: number;
}

export interface Source {
  text: string;
  url: string;
}

/** Lines of a folded text. */
export function unfold(texts: Texts, runs: number[]): string {
  const lines: string[] = [];
  for (let i = 0; i < runs.length; i += 2) lines.push(...texts.lines.slice(runs[i], runs[i] + runs[i + 1]));
  return lines.join("\n");
}

/** Bytes of a gzip stream in base64. */
export async function inflate(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = Uint8Array.from(atob(base64.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
