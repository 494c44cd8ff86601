import type { IBuffer, IBufferCell, IBufferLine, Terminal } from "@xterm/headless";
import { isPlain, sequenceOf } from "./look.js";

/**
 * What makes an empty terminal of the same size show a buffer: the lines that
 * have scrolled off its top, then the screen. (The serializing addon of
 * xterm.js does the same but for lines that a program has moved apart after
 * they were wrapped, which it paints wrong.)
 */
export function paintLines(terminal: Terminal, buffer: IBuffer): string {
  const parts: string[] = [];
  // One object for all cells: there are many.
  const scratch = buffer.getNullCell();
  for (let y = 0; y < buffer.length; y++) {
    const line = buffer.getLine(y);
    if (line === undefined) continue;
    parts.push(paintLine(terminal, line, scratch));
    if (y === buffer.length - 1) break;
    // A line that fills its row runs on into the next by itself, as it did first.
    if (!runsOn(terminal, line, buffer.getLine(y + 1))) parts.push("\r\n");
  }
  return parts.join("");
}

function paintLine(terminal: Terminal, line: IBufferLine, scratch: IBufferCell): string {
  let text = "";
  let look = "";
  let gap = 0;
  for (let x = 0; x < terminal.cols; x++) {
    const cell = line.getCell(x, scratch);
    // The second half of a wide character.
    if (cell === undefined || cell.getWidth() === 0) continue;
    if (isEmpty(cell)) {
      gap++;
      continue;
    }
    if (gap > 0) text += `\x1b[${gap}C`;
    gap = 0;
    const wanted = isPlain(cell) ? "" : sequenceOf(cell);
    if (wanted !== look) text += wanted || "\x1b[0m";
    look = wanted;
    text += cell.getChars() || " ";
  }
  return look === "" ? text : `${text}\x1b[0m`;
}

function runsOn(terminal: Terminal, line: IBufferLine, next: IBufferLine | undefined): boolean {
  if (next === undefined || !next.isWrapped) return false;
  const last = line.getCell(terminal.cols - 1);
  const first = next.getCell(0);
  if (last === undefined || first === undefined) return false;
  return !isEmpty(last) && first.getChars() !== "";
}

function isEmpty(cell: IBufferCell): boolean {
  return cell.getChars() === "" && cell.getWidth() === 1 && isPlain(cell);
}
