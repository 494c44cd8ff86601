/**
 * Leaves what full-screen programs turn on: the other screen, mouse and paste
 * reports, a hidden cursor, application keys, a scroll region, colours. The cursor
 * stays: it is saved before what would move it.
 */
const CALM = [
  "\x1b7\x1b[?1049l",
  "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l",
  "\x1b[?25h\x1b[?1l\x1b>",
  "\x1b7\x1b[r\x1b8",
  "\x1b[0m\r\n\x1b[J",
].join("");

/** The terminal that this program runs in, handed over to another program: every key passes as it is. */
export class RawTerminal implements Disposable {
  readonly #isRaw: boolean;

  private constructor(isRaw: boolean) {
    this.#isRaw = isRaw;
  }

  /** Takes the terminal over; does nothing where there is none. */
  static enter(): RawTerminal {
    const { stdin } = process;
    if (stdin.isTTY) stdin.setRawMode(true);
    return new RawTerminal(stdin.isTTY);
  }

  /** Columns and rows; undefined where there is no terminal. */
  static get size(): { cols: number; rows: number } | undefined {
    const { isTTY, columns, rows } = process.stdout;
    // A terminal that does not know its size says 0.
    if (!isTTY || !columns || !rows) return undefined;
    return { cols: Math.min(columns, 1000), rows: Math.min(rows, 1000) };
  }

  /** Puts the screen in order when a program that still runs in it is left alone. */
  calm(): void {
    if (process.stdout.isTTY) process.stdout.write(CALM);
  }

  [Symbol.dispose](): void {
    if (this.#isRaw) process.stdin.setRawMode(false);
  }
}
