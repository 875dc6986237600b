/** Width of a text as the drawings write it. */

let pen: CanvasRenderingContext2D | null | undefined;
const known = new Map<string, number>();

export function measure(text: string, weight = 400): number {
  if (pen === undefined) pen = document.createElement("canvas").getContext("2d");
  if (!pen) return text.length * 7.2;
  const key = `${weight} ${text}`;
  let width = known.get(key);
  if (width === undefined) {
    pen.font = `${weight} 12.5px ${getComputedStyle(document.body).fontFamily}`;
    known.set(key, (width = pen.measureText(text).width));
  }
  return width;
}
