/** Colours of drugs (Okabe and Ito's set, told apart by colour-blind readers); a mechanism has a line style, never a colour. */

const KNOWN: Record<string, string> = {
  ketamine: "#0072B2",
  esketamine: "#0072B2",
  naltrexone: "#D55E00",
  naloxone: "#D55E00",
  morphine: "#CC79A7",
  escitalopram: "#009E73",
  buprenorphine: "#56B4E9",
  rapamycin: "#F0E442",
};
const OTHERS = ["#56B4E9", "#CC79A7", "#E69F00", "#009E73"];

export function drugColour(drug: string, drugs: readonly string[]): string {
  return KNOWN[drug] ?? OTHERS[Math.max(0, drugs.indexOf(drug)) % OTHERS.length];
}

/** Black or white, whichever reads better on a colour. */
export function inkOn(colour: string): string {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const part = parseInt(colour.slice(i, i + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/** Line style of the first and the second mechanism shown. */
export const DASHES = ["", "7 4"];
