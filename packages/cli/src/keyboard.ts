import type { PtySession } from "@nullspace/sdk";
import { EscapeKeys } from "./escape-keys.js";

const KEYS = "\r\n~.  leave; the session goes on    ~?  this help    ~~  type a ~\r\n";
const END_OF_INPUT = "\x04";

/** Typed bytes on their way: a terminal whose connection hangs must still take its escape keys. */
const MOST_ON_THE_WAY = 64 << 10;

/** Passes what is typed here to a session, and understands the escape keys on a terminal. */
export class Keyboard implements Disposable {
  readonly #session: PtySession;
  readonly #onDetach: () => void;
  readonly #escapes = process.stdin.isTTY ? new EscapeKeys() : undefined;
  #onTheWay = 0;

  /** @param onDetach told when the user wants to leave. */
  constructor(session: PtySession, onDetach: () => void) {
    this.#session = session;
    this.#onDetach = onDetach;
    process.stdin.on("data", this.#type).on("end", this.#end);
  }

  [Symbol.dispose](): void {
    const { stdin } = process;
    stdin.off("data", this.#type).off("end", this.#end);
    // A terminal or pipe that is still open would keep this program running.
    stdin.pause();
    if (!stdin.isTTY) stdin.destroy();
  }

  readonly #type = (bytes: Buffer): void => {
    const { data, wish } = this.#escapes?.push(bytes) ?? { data: bytes, wish: undefined };
    if (data.length > 0) this.#send(data);
    if (wish === "help") process.stderr.write(KEYS);
    if (wish === "detach") this.#onDetach();
  };

  /** Whoever pipes input in has no more to say at its end; a terminal says so by a key. */
  readonly #end = (): void => this.#send(Buffer.from(END_OF_INPUT));

  #send(data: Buffer): void {
    this.#onTheWay += data.length;
    if (this.#onTheWay > MOST_ON_THE_WAY) process.stdin.pause();
    // A session that has ended takes no more, which whoever reads it is told.
    this.#session
      .sendInput(data)
      .catch(() => undefined)
      .finally(() => {
        const wasFull = this.#onTheWay > MOST_ON_THE_WAY;
        this.#onTheWay -= data.length;
        if (wasFull && this.#onTheWay <= MOST_ON_THE_WAY) process.stdin.resume();
      });
  }
}
