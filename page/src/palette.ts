/** Colours of drugs (Okabe and Ito's set, told apart by colour-blind readers); a mechanism has a line style, never a colour. */

const ANTAGONISTS = ["#D55E00", "#E69F00"];
const OTHERS = ["#0072B2", "#56B4E9", "#CC79A7", "#009E73", "#F0E442"];

/** Colour of a drug: what blocks is warm, all else takes the other colours in the order of the case. */
export function drugColour(drug: string, drugs: Readonly<Record<string, { antagonist: boolean }>>): string {
  const blocks = drugs[drug]?.antagonist ?? false;
  const alike = Object.keys(drugs).filter((other) => drugs[other].antagonist === blocks);
  const colours = blocks ? ANTAGONISTS : OTHERS;
  return colours[Math.max(0, alike.indexOf(drug)) % colours.length];
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
