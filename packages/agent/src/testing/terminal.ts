import headless from "@xterm/headless";

/** A viewer's terminal: what it shows is compared with what it should show. */
export class ViewerTerminal {
  readonly #terminal: InstanceType<typeof headless.Terminal>;

  constructor(cols = 80, rows = 24) {
    this.#terminal = new headless.Terminal({
      cols,
      rows,
      scrollback: 1000,
      allowProposedApi: true,
      logLevel: "off",
    });
  }

  write(data: Uint8Array | string): Promise<void> {
    return new Promise((resolve) => {
      this.#terminal.write(data, resolve);
    });
  }

  resize(cols: number, rows: number): void {
    this.#terminal.resize(cols, rows);
  }

  /** The text of the screen, line by line. */
  get text(): string {
    const { active } = this.#terminal.buffer;
    const lines = Array.from({ length: this.#terminal.rows }, (_, y) =>
      active.getLine(active.baseY + y)?.translateToString(true),
    );
    return lines.join("\n").trimEnd();
  }

  /** All that a user can see or a program can rely on. */
  get state(): object {
    const { active } = this.#terminal.buffer;
    return {
      kind: active.type,
      cursor: [active.cursorX, active.cursorY],
      modes: this.#terminal.modes,
      lines: Array.from({ length: active.length }, (_, y) => this.#line(y)),
    };
  }

  #line(y: number): string {
    const line = this.#terminal.buffer.active.getLine(y);
    const cells = Array.from({ length: this.#terminal.cols }, (_, x) => {
      const cell = line?.getCell(x);
      if (cell === undefined) return "";
      const flags = [
        cell.isBold(),
        cell.isDim(),
        cell.isItalic(),
        cell.isUnderline(),
        cell.isInverse(),
        cell.isInvisible(),
        cell.isStrikethrough(),
      ];
      const look = [
        cell.getFgColorMode(),
        cell.getFgColor(),
        cell.getBgColorMode(),
        cell.getBgColor(),
        flags.map((flag) => (flag ? 1 : 0)).join(""),
      ].join(",");
      return `${cell.getChars() || " "}${look === "0,-1,0,-1,0000000" ? "" : `<${look}>`}`;
    });
    return cells.join("").trimEnd();
  }
}
