/** The diagram and the curves as one standing picture, SVG or PNG, in the colours shown. */

const KEPT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-family", "font-size", "font-style", "font-weight", "text-anchor"];

/** One SVG of the page's drawings side by side, free of the page's style sheet; a heading above, words below. */
export function pictureSvg(drawings: readonly SVGSVGElement[], heading: string, words: readonly string[]): string {
  const margin = 24;
  const style = getComputedStyle(document.body);
  const sizes = drawings.map((svg) => ({ width: svg.width.baseVal.value, height: svg.height.baseVal.value }));
  const width = margin + sizes.reduce((sum, size) => sum + size.width + margin, 0);
  const height = Math.max(...sizes.map((size) => size.height)) + 66 + 17 * words.length + margin;
  let left = margin;
  const parts = drawings.map((svg, i) => {
    const copy = bare(svg);
    copy.setAttribute("x", String(left));
    copy.setAttribute("y", "52");
    left += sizes[i].width + margin;
    return new XMLSerializer().serializeToString(copy);
  });
  const text = (content: string, y: number, extra: string) => `<text x="${margin}" y="${y}" fill="${style.color}" ${extra}>${escape(content)}</text>`;
  const family = escape(style.fontFamily);
  const lines = words.map((line, i) => text(line, height - margin - 17 * (words.length - 1 - i), `font-size="12.5" font-family="${family}"`));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<rect width="100%" height="100%" fill="${style.backgroundColor}"/>`,
    text(heading, 32, `font-size="19" font-weight="700" font-family="Georgia, serif"`),
    ...parts,
    ...lines,
    "</svg>",
  ].join("\n");
}

/** A copy whose computed looks are written on its elements. */
function bare(svg: SVGSVGElement): SVGSVGElement {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll("*")];
  const copies = [copy, ...copy.querySelectorAll("*")];
  originals.forEach((original, i) => {
    const look = getComputedStyle(original);
    const target = copies[i];
    target.removeAttribute("class");
    target.removeAttribute("style");
    for (const key of KEPT) {
      const value = look.getPropertyValue(key);
      if (value && value !== "normal") target.setAttribute(key, value);
    }
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.querySelectorAll("a").forEach((link) => link.replaceWith(...link.childNodes));
  return copy;
}

/** Lines of at most so many letters. */
export function fold(text: string, letters: number): string[] {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const last = lines[lines.length - 1];
    if (last.length + word.length + 1 > letters && last !== "") lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines;
}

function escape(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

/** The same as PNG, `scale` dots to a pixel. */
export async function picturePng(svg: string, scale: number): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width * scale;
  canvas.height = image.height * scale;
  canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) => canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no PNG could be made"))), "image/png"));
}

/** Hand a file to the reader. */
export function save(content: string | Blob, name: string, type: string): void {
  const url = URL.createObjectURL(typeof content === "string" ? new Blob([content], { type }) : content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
