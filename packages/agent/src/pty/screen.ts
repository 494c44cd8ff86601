import type { Terminal } from "@xterm/headless";
import { paintLines } from "./paint.js";
import { TornSequence } from "./torn-sequence.js";
import { TerminalState } from "./terminal-state.js";

/** Columns and rows of a terminal. */
export interface Size {
  cols: number;
  rows: number;
}

/** Lines that have scrolled off the top and are painted with the screen; fewer of wide ones. */
const MOST_LINES = 1000;
const MOST_CELLS = 160_000;

/** Puts any terminal into the state of a new one. */
const RESET = "\x1bc";

/** What a terminal shows: follows a program's output, and paints it anew for whoever joins. */
export class Screen {
  readonly #terminal: Terminal;
  readonly #state: TerminalState;
  readonly #torn = new TornSequence();
  #isBlank = true;

  private constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#state = new TerminalState(terminal);
  }

  /** Makes an empty screen. The emulator is large, so it is loaded with the first one. */
  static async open({ cols, rows }: Size): Promise<Screen> {
    const { default: headless } = await import("@xterm/headless");
    const terminal = new headless.Terminal({
      cols,
      rows,
      scrollback: scrollbackOf(cols),
      allowProposedApi: true,
      logLevel: "off",
    });
    return new Screen(terminal);
  }

  /** Told what the terminal answers to questions of the program. */
  onReply(listener: (reply: string) => void): void {
    this.#terminal.onData(listener);
  }

  /** Takes output; resolves when the screen shows it. */
  write(data: Uint8Array): Promise<void> {
    this.#isBlank = false;
    this.#torn.push(data);
    return new Promise((resolve) => {
      this.#terminal.write(data, resolve);
    });
  }

  /** Between two writes only. */
  resize({ cols, rows }: Size): void {
    this.#terminal.options.scrollback = scrollbackOf(cols);
    this.#terminal.resize(cols, rows);
  }

  /**
   * What a terminal of the same size must be sent to show the same and to take
   * what follows as this one does. Between two writes only.
   */
  paint(): Buffer {
    if (this.#isBlank) return Buffer.alloc(0);
    const { normal, alternate, active } = this.#terminal.buffer;
    const parts = [RESET, paintLines(this.#terminal, normal)];
    if (active === alternate) {
      parts.push(this.#state.enterAlternate(), paintLines(this.#terminal, alternate));
    }
    parts.push(this.#state.restore());
    return Buffer.concat([Buffer.from(parts.join("")), this.#torn.bytes]);
  }

  [Symbol.dispose](): void {
    this.#terminal.dispose();
  }
}

function scrollbackOf(cols: number): number {
  return Math.min(MOST_LINES, Math.floor(MOST_CELLS / cols));
}
