/** Characters that are kept to be seen. */
export const MOST_CHARACTERS = 256 * 1024;

/** A piece of a log: what a process wrote in one go to one of its streams. */
export interface LogPiece {
  stream: "stdout" | "stderr";
  text: string;
}

/** The end of a log, up to a bound. */
export class LogText {
  #pieces: LogPiece[] = [];
  #characters = 0;
  /** Whether the beginning is not shown. */
  cut = false;

  /** Appends a piece; the oldest ones make room. */
  push({ stream, text: raw }: LogPiece): void {
    const text = plain(raw).slice(-MOST_CHARACTERS);
    if (text === "") return;
    const last = this.#pieces.at(-1);
    // Few, large pieces: each is an element of the page.
    if (last?.stream === stream && last.text.length < 8192) {
      this.#pieces[this.#pieces.length - 1] = { stream, text: last.text + text };
    } else {
      this.#pieces.push({ stream, text });
    }
    this.#characters += text.length;
    while (this.#characters > MOST_CHARACTERS && this.#pieces.length > 1) {
      this.#characters -= this.#pieces.shift()?.text.length ?? 0;
      this.cut = true;
    }
  }

  /** What is kept, oldest first. A new array each time. */
  get pieces(): readonly LogPiece[] {
    return [...this.#pieces];
  }
}

/** A command for the terminal: CSI, OSC, or a short one. */
const ESCAPE_SEQUENCE =
  // oxlint-disable-next-line no-control-regex -- They begin with one.
  /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

/** Without colours and the like, which only a terminal shows. */
function plain(text: string): string {
  return text.replaceAll(ESCAPE_SEQUENCE, "");
}
