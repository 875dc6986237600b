/** Width of a text as the diagram draws it. */

let pen: CanvasRenderingContext2D | null | undefined;

export function measure(text: string): number {
  if (pen === undefined) {
    pen = document.createElement("canvas").getContext("2d");
    if (pen) pen.font = `12.5px ${getComputedStyle(document.body).fontFamily}`;
  }
  return pen ? pen.measureText(text).width : text.length * 7.2;
}
