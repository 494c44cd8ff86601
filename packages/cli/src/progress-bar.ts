import { bytes as size, duration, shown, styled } from "./terminal.js";

/** What is done by then needs no progress. */
const PATIENCE_MS = 400;
const REDRAW_MS = 100;
const BAR_WIDTH = 20;

/** How far something is. */
export interface Progress {
  bytes: number;
  totalBytes: number | undefined;
}

/** A line on a terminal that says how far a transfer is; nothing elsewhere. */
export class ProgressBar implements Disposable {
  readonly #label: string;
  readonly #stream: NodeJS.WriteStream;
  readonly #startedAt = performance.now();
  #drawnAt = 0;

  constructor(label: string, stream: NodeJS.WriteStream = process.stderr) {
    this.#label = label;
    this.#stream = stream;
  }

  /** Draws the line anew, unless it was drawn a moment ago. */
  update(progress: Progress): void {
    this.#draw((elapsedMs) => {
      return progressLine(this.#label, progress, elapsedMs, this.#stream.columns);
    });
  }

  /** Draws a line that says what goes on, and how much of it is done. */
  say(what: string, done: number, total: number | undefined): void {
    this.#draw(() => {
      const count = total === undefined ? "" : ` ${done}/${total}`;
      const text = `${this.#label}: ${shown(what.split("\n", 1)[0] ?? "", this.#stream)}${count}`;
      return text.slice(0, Math.max(0, (this.#stream.columns || 80) - 1));
    });
  }

  #draw(line: (elapsedMs: number) => string): void {
    if (!this.#stream.isTTY) return;
    const now = performance.now();
    if (now - this.#startedAt < PATIENCE_MS || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#stream.write(`\r\x1b[2K${line(now - this.#startedAt)}`);
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    if (this.#drawnAt > 0) this.#stream.write("\r\x1b[2K");
  }
}

/** The line, no longer than the terminal is wide. */
export function progressLine(
  label: string,
  { bytes, totalBytes }: Progress,
  elapsedMs: number,
  columns = 80,
): string {
  const rate = bytes / Math.max(1, elapsedMs / 1000);
  const facts = [`${size(bytes)}`, `${size(rate)}/s`];
  let bar = "";
  if (totalBytes !== undefined && totalBytes > 0) {
    const share = Math.min(1, bytes / totalBytes);
    const full = Math.round(share * BAR_WIDTH);
    bar = `${"█".repeat(full)}${"░".repeat(BAR_WIDTH - full)} ${String(Math.floor(share * 100)).padStart(3)}%  `;
    if (rate > 0) facts.push(`${duration(((totalBytes - bytes) / rate) * 1000)} left`);
  }
  const rest = `${bar}${facts.join("  ")}`;
  const room = columns - rest.length - 3;
  if (room < 4) return rest.slice(0, Math.max(0, columns - 1));
  const name = label.length > room ? `…${label.slice(label.length - room + 1)}` : label;
  return `${styled("cyan", name, process.stderr)}  ${rest}`;
}
