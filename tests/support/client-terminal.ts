import { once } from "node:events";
import type { PtySession, PtySize } from "@nullspace/sdk";
import headless from "@xterm/headless";

const LONGEST_WAIT_MS = 30_000;

/**
 * A terminal on the client's side, as a user's or the console's: it shows what a session
 * sends, and answers what programs ask.
 */
export class ClientTerminal implements AsyncDisposable {
  readonly session: PtySession;
  readonly #terminal: InstanceType<typeof headless.Terminal>;
  readonly #followed: Promise<void>;
  #changed = Promise.withResolvers<void>();
  /** How often the screen was painted anew. */
  paintings = 0;

  constructor(session: PtySession, { cols, rows }: PtySize = { cols: 80, rows: 24 }) {
    this.session = session;
    this.#terminal = new headless.Terminal({ cols, rows, allowProposedApi: true, logLevel: "off" });
    this.#followed = this.#follow();
    // Told by whoever waits for the screen.
    this.#followed.catch(() => undefined);
  }

  async #follow(): Promise<void> {
    for await (const { kind, data, size } of this.session) {
      if (kind === "screen") this.paintings++;
      if (size !== undefined) this.#terminal.resize(size.cols, size.rows);
      await new Promise<void>((resolve) => this.#terminal.write(data, resolve));
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    }
  }

  /** The text of the screen, line by line. */
  get text(): string {
    return this.lines.join("\n").trimEnd();
  }

  get lines(): string[] {
    const { active } = this.#terminal.buffer;
    return Array.from(
      { length: this.#terminal.rows },
      (_, y) => active.getLine(active.baseY + y)?.translateToString(true) ?? "",
    );
  }

  /** What must be the same for everyone who looks at a session. */
  get state(): object {
    const { active } = this.#terminal.buffer;
    const { cols, rows, modes } = this.#terminal;
    const cursor = [active.cursorX, active.cursorY];
    return { kind: active.type, cols, rows, cursor, modes, lines: this.lines };
  }

  /** Resolves when the screen shows something. */
  async shows(wanted: string | RegExp): Promise<void> {
    const isThere = () => {
      const { text } = this;
      return typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
    };
    const ended = this.#followed.then(() => true);
    // Only tells what there was instead of hanging.
    const late = AbortSignal.timeout(LONGEST_WAIT_MS);
    const over = Promise.race([ended, once(late, "abort").then(() => true)]);
    while (!isThere()) {
      const isOver = await Promise.race([this.#changed.promise.then(() => false), over]);
      if (isOver && !isThere()) throw new Error(`never showed ${String(wanted)}:\n${this.text}`);
    }
  }

  /** Types, and resolves when the screen shows what comes of it. */
  async type(keys: string, wanted: string | RegExp): Promise<void> {
    await this.session.sendInput(keys);
    await this.shows(wanted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.session.disconnect();
    await this.#followed;
    this.#terminal.dispose();
  }
}
