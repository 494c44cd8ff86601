import type { IBuffer, IModes, Terminal } from "@xterm/headless";
import { isPlain, nextLook, sequenceOf } from "./look.js";

type BufferKind = Terminal["buffer"]["active"]["type"];

/** Rows between which a terminal scrolls, from 1. */
interface Region {
  top: number;
  bottom: number;
}

interface Position {
  x: number;
  y: number;
}

const ALTERNATE_SCREEN = [47, 1047, 1049];
const MOUSE_ENCODINGS = [1005, 1006, 1015, 1016];

/** What a terminal saves with its cursor. */
interface SavedCursor extends Position {
  lineDrawing: boolean;
  /** What makes characters look as they did then. */
  look: string;
}

/**
 * State of a terminal besides the characters on it: where the cursor is, what
 * it looks like and has been saved as, scroll region, modes, line drawing, title.
 */
export class TerminalState {
  readonly #terminal: Terminal;
  readonly #regions = new Map<BufferKind, Region>();
  readonly #saved = new Map<BufferKind, SavedCursor>();
  #cursorHidden = false;
  #cursorStyle = 0;
  #mouseEncoding = 0;
  #lineDrawing = false;
  #title = "";

  /** Listens to what the terminal is told; nothing must have been written to it yet. */
  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    const { parser } = terminal;
    const watch = (see: () => void) => {
      // Seen, not handled: the terminal goes on with it.
      see();
      return false;
    };
    const csi = (id: Parameters<typeof parser.registerCsiHandler>[0], see: (p: number[]) => void) =>
      parser.registerCsiHandler(id, (params) => watch(() => see(params.map(first))));
    csi({ final: "r" }, ([top = 0, bottom = 0]) => this.#setRegion(top, bottom));
    csi({ prefix: "?", final: "h" }, (given) => given.forEach((mode) => this.#setMode(mode, true)));
    csi({ prefix: "?", final: "l" }, (given) =>
      given.forEach((mode) => this.#setMode(mode, false)),
    );
    csi({ intermediates: " ", final: "q" }, ([style = 0]) => (this.#cursorStyle = style));
    csi({ intermediates: "!", final: "p" }, () => this.#reset());
    csi({ final: "s" }, () => this.#save());
    csi({ final: "u" }, () => this.#restoreSaved());
    parser.registerEscHandler({ final: "7" }, () => watch(() => this.#save()));
    parser.registerEscHandler({ final: "8" }, () => watch(() => this.#restoreSaved()));
    parser.registerEscHandler({ final: "c" }, () => watch(() => this.#reset()));
    for (const final of ["0", "A", "B"]) {
      parser.registerEscHandler({ intermediates: "(", final }, () =>
        watch(() => (this.#lineDrawing = final === "0")),
      );
    }
    terminal.onTitleChange((title) => (this.#title = title));
    // A resize takes all regions back.
    terminal.onResize(() => this.#regions.clear());
  }

  /** What puts a terminal with the same characters on it into the same state. */
  restore(): string {
    const { active } = this.#terminal.buffer;
    const saved = this.#saved.get(active.type);
    const region = this.#regions.get(active.type);
    const parts = [];
    if (saved !== undefined) parts.push(moveTo(saved), saveAs(saved));
    if (region !== undefined) parts.push(`\x1b[${region.top};${region.bottom}r`);
    // Before the modes: one of them counts rows from the top of the region.
    const { originMode } = this.#terminal.modes;
    if (originMode) parts.push("\x1b[?6h");
    parts.push(this.#moveTo(active, originMode ? (region?.top ?? 1) - 1 : 0));
    parts.push(lookOf(this.#terminal));
    if (this.#title !== "") parts.push(`\x1b]2;${printable(this.#title)}\x07`);
    if (this.#cursorStyle !== 0) parts.push(`\x1b[${this.#cursorStyle} q`);
    parts.push(...modes(this.#terminal.modes));
    if (this.#mouseEncoding !== 0) parts.push(`\x1b[?${this.#mouseEncoding}h`);
    if (this.#cursorHidden) parts.push("\x1b[?25l");
    if (this.#lineDrawing) parts.push("\x1b(0");
    return parts.join("");
  }

  /** What leads from the normal screen to an empty alternate one, and back to where it came from. */
  enterAlternate(): string {
    const { normal } = this.#terminal.buffer;
    const look = this.#saved.get("normal")?.look ?? "";
    // The colour of the moment would fill the screen.
    return `${this.#moveTo(normal, 0)}${look}\x1b[?1049h\x1b[0m\x1b[2J\x1b[H`;
  }

  /**
   * What puts the cursor where it is in a buffer, even when it waits behind the
   * last column for the next character.
   */
  #moveTo(buffer: IBuffer, originY: number): string {
    const { cols } = this.#terminal;
    const y = buffer.cursorY - originY;
    if (buffer.cursorX < cols) return moveTo({ x: buffer.cursorX, y });
    const line = buffer.getLine(buffer.baseY + buffer.cursorY);
    const last = line?.getCell(cols - 1);
    const isSecondHalf = last?.getWidth() === 0;
    const cell = isSecondHalf ? line?.getCell(cols - 2) : last;
    const place = moveTo({ x: isSecondHalf ? cols - 2 : cols - 1, y });
    if (cell === undefined) return place;
    return `${place}${sequenceOf(cell)}${cell.getChars() || " "}\x1b[0m`;
  }

  #setRegion(top: number, bottom: number): void {
    const { rows, buffer } = this.#terminal;
    const region = { top: top || 1, bottom: bottom === 0 || bottom > rows ? rows : bottom };
    if (region.bottom <= region.top) return;
    const isAll = region.top === 1 && region.bottom === rows;
    if (isAll) this.#regions.delete(buffer.active.type);
    else this.#regions.set(buffer.active.type, region);
  }

  #setMode(mode: number, on: boolean): void {
    if (mode === 25) this.#cursorHidden = !on;
    if (MOUSE_ENCODINGS.includes(mode)) this.#mouseEncoding = on ? mode : 0;
    if (mode === 1049 && on) this.#save();
    const isAlternate = this.#terminal.buffer.active.type === "alternate";
    if (ALTERNATE_SCREEN.includes(mode) && on !== isAlternate) {
      this.#regions.delete("alternate");
      this.#saved.delete("alternate");
    }
    if (mode === 1049 && !on) this.#lineDrawing = this.#saved.get("normal")?.lineDrawing ?? false;
  }

  #save(): void {
    const { type, cursorX, cursorY } = this.#terminal.buffer.active;
    const x = Math.min(cursorX, this.#terminal.cols - 1);
    const look = lookOf(this.#terminal);
    this.#saved.set(type, { x, y: cursorY, lineDrawing: this.#lineDrawing, look });
  }

  #restoreSaved(): void {
    const saved = this.#saved.get(this.#terminal.buffer.active.type);
    this.#lineDrawing = saved?.lineDrawing ?? false;
  }

  #reset(): void {
    this.#regions.clear();
    this.#saved.clear();
    this.#cursorHidden = false;
    this.#cursorStyle = 0;
    this.#mouseEncoding = 0;
    this.#lineDrawing = false;
  }
}

const MOUSE_TRACKING = { none: "", x10: "?9h", vt200: "?1000h", drag: "?1002h", any: "?1003h" };

function modes(on: IModes): string[] {
  const sequences = [
    on.applicationCursorKeysMode && "?1h",
    on.applicationKeypadMode && "?66h",
    on.bracketedPasteMode && "?2004h",
    on.insertMode && "4h",
    on.reverseWraparoundMode && "?45h",
    on.sendFocusMode && "?1004h",
    !on.wraparoundMode && "?7l",
    MOUSE_TRACKING[on.mouseTrackingMode],
  ];
  return sequences.filter(Boolean).map((sequence) => `\x1b[${sequence}`);
}

/** What makes the next character look as it would. */
function lookOf(terminal: Terminal): string {
  const next = nextLook(terminal);
  return next === undefined || isPlain(next) ? "" : sequenceOf(next);
}

/** What saves the cursor with all that goes with it, and is plain again afterwards. */
function saveAs({ look, lineDrawing }: SavedCursor): string {
  return lineDrawing ? `${look}\x1b(0\x1b7\x1b(B\x1b[0m` : `${look}\x1b7\x1b[0m`;
}

function first(param: number | number[]): number {
  return typeof param === "number" ? param : (param[0] ?? 0);
}

function moveTo({ x, y }: Position): string {
  return `\x1b[${y + 1};${x + 1}H`;
}

function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, "");
}
