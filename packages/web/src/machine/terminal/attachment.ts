import { NullspaceError, type PtyExit, type PtySession, type PtySize } from "@nullspace/sdk";
import { explain, isUnauthenticated } from "../../explain";
import { follow } from "../../follow";
import type { Screen } from "./screen";

/** How a terminal on this page is doing. */
export type TerminalStatus =
  | { kind: "opening" }
  | { kind: "live" }
  /** Cut off, and trying again. */
  | { kind: "lost"; problem: string }
  /** Cannot be shown, now or later. */
  | { kind: "failed"; problem: string }
  | { kind: "ended"; exit: PtyExit };

/** What an {@link Attachment} is made with. */
export interface AttachmentOptions {
  screen: Screen;
  /** Makes or finds the session, for a screen of this size. */
  open: (size: PtySize, signal: AbortSignal) => Promise<PtySession>;
  onOpened: (session: PtySession) => void;
  onStatus: (status: TerminalStatus) => void;
  /** Called when the server no longer takes the key. */
  onRefused: () => void;
}

const USUAL_SIZE: PtySize = { cols: 80, rows: 24 };

/** Ties a screen to a session, for as long as the session lives, over connections that come and go. */
export class Attachment implements Disposable {
  readonly #options: AttachmentOptions;
  readonly #stop = new AbortController();
  #session: PtySession | undefined;
  #status: TerminalStatus = { kind: "opening" };
  #size: PtySize = USUAL_SIZE;

  constructor(options: AttachmentOptions) {
    this.#options = options;
    const { screen, onRefused } = options;
    this.#takeFittingSize();
    const { terminal } = screen;
    terminal.onData((text) => this.#type(text));
    terminal.onBinary((text) => this.#type(Uint8Array.from(text, (char) => char.charCodeAt(0))));
    void follow(
      {
        stream: (signal) => this.#show(signal),
        onProblem: (problem) => this.#become({ kind: "lost", problem }),
        onRefused,
      },
      this.#stop.signal,
    );
  }

  /** Makes the session as large as the screen can show. */
  fit(): void {
    if (!this.#takeFittingSize()) return;
    // A size that does not arrive is told anew with the next one, or when the screen is painted.
    this.#session?.resize(this.#size, { signal: this.#stop.signal }).catch(() => undefined);
  }

  /** Lets go of the session, which lives on. */
  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#session?.disconnect();
  }

  async *#show(signal: AbortSignal): AsyncGenerator<void> {
    const { open, onOpened, screen } = this.#options;
    try {
      let session = this.#session;
      if (session === undefined) {
        session = await open(this.#size, signal);
        if (signal.aborted) return session.disconnect();
        this.#session = session;
        onOpened(session);
        this.#become({ kind: "live" });
      }
      for await (const { data, size } of session) {
        if (this.#status.kind !== "live") this.#become({ kind: "live" });
        // Another viewer may have chosen the size.
        if (size !== undefined) screen.terminal.resize(size.cols, size.rows);
        if (data.length > 0) await screen.write(data);
        yield;
      }
      if (!signal.aborted) this.#finish({ kind: "ended", exit: await session.wait({ signal }) });
    } catch (error) {
      if (!isFinal(error)) throw error;
      this.#finish({ kind: "failed", problem: explain(error) });
    }
  }

  #type(data: string | Uint8Array): void {
    const { signal } = this.#stop;
    this.#session?.sendInput(data, { signal }).catch((error: unknown) => {
      if (signal.aborted || isFinal(error)) return;
      this.#become({ kind: "lost", problem: `What you typed did not arrive. ${explain(error)}` });
    });
  }

  /** Whether there is a new size. */
  #takeFittingSize(): boolean {
    const { screen } = this.#options;
    const { fitting: size, terminal } = screen;
    if (size === undefined) return false;
    if (size.cols === terminal.cols && size.rows === terminal.rows) return false;
    this.#size = size;
    terminal.resize(size.cols, size.rows);
    return true;
  }

  #become(status: TerminalStatus): void {
    if (this.#stop.signal.aborted) return;
    this.#status = status;
    this.#options.onStatus(status);
  }

  #finish(status: TerminalStatus): void {
    this.#become(status);
    this.#stop.abort();
    this.#options.screen.terminal.options.disableStdin = true;
  }
}

/** Whether trying again cannot help. */
function isFinal(error: unknown): boolean {
  return error instanceof NullspaceError && !error.retryable && !isUnauthenticated(error);
}
