import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import type { PtySize } from "@nullspace/sdk";
import "@xterm/xterm/css/xterm.css";

/** Dark whatever the page is: programs choose their colours for it. The ground is that of machine.css. */
const THEME = {
  background: "#141417",
  foreground: "#e6e6ea",
  cursor: "#a3a3fa",
  selectionBackground: "#4a4a78",
  black: "#2c2c31",
  red: "#ff7a76",
  green: "#4cc38a",
  yellow: "#e2b340",
  blue: "#8b8bf5",
  magenta: "#d48bf0",
  cyan: "#56c7d6",
  white: "#d0d0d6",
  brightBlack: "#7d7d88",
  brightRed: "#ff9c99",
  brightGreen: "#77dba9",
  brightYellow: "#f0ca6b",
  brightBlue: "#adadff",
  brightMagenta: "#e3b0f7",
  brightCyan: "#86dde8",
  brightWhite: "#ffffff",
};

/** A terminal in an element, as large as the element. */
export class Screen implements Disposable {
  readonly terminal: Terminal;
  readonly #fit = new FitAddon();

  /** @param onLeave - Called when the keys that leave the terminal are pressed. */
  constructor(element: HTMLElement, onLeave: () => void) {
    this.terminal = new Terminal({
      fontFamily: getComputedStyle(element).getPropertyValue("--mono"),
      fontSize: window.innerWidth < 480 ? 12 : 14,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      scrollback: 5_000,
      theme: THEME,
    });
    this.terminal.loadAddon(this.#fit);
    this.terminal.open(element);
    this.terminal.attachCustomKeyEventHandler((event) => {
      // Tab belongs to the program, so there is another way out.
      if (event.key === "Enter" && event.ctrlKey && event.shiftKey) {
        event.preventDefault();
        if (event.type === "keydown") onLeave();
        return false;
      }
      // With something selected, Ctrl+C copies as it does everywhere else.
      return !(event.key === "c" && event.ctrlKey && this.terminal.hasSelection());
    });
  }

  /** The size that fits the element; undefined while it is not shown. */
  get fitting(): PtySize | undefined {
    const { cols, rows } = this.#fit.proposeDimensions() ?? { cols: Number.NaN, rows: Number.NaN };
    if (Number.isNaN(cols) || Number.isNaN(rows)) return undefined;
    return { cols: Math.min(1000, Math.max(2, cols)), rows: Math.min(1000, Math.max(1, rows)) };
  }

  /** Resolves when `data` is on the screen: programs that write faster wait. */
  write(data: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.terminal.write(data, resolve));
  }

  [Symbol.dispose](): void {
    this.terminal.dispose();
  }
}
