/** What typed bytes come to, once escapes are taken out of them. */
export interface Typed {
  /** For the program in the machine. */
  data: Buffer;
  /** What the user wants of this program. */
  wish: "detach" | "help" | undefined;
}

const ESCAPE = 0x7e; // ~
const DETACH = 0x2e; // .
const HELP = 0x3f; // ?
const ENTER = 0x0d;
const NEWLINE = 0x0a;

/**
 * Finds the escapes of ssh in what is typed: after a new line, `~.` detaches,
 * `~?` asks for help, and `~~` is one `~`. Everything else passes as it is; a
 * `~` waits for the key that comes next.
 */
export class EscapeKeys {
  #atLineStart = true;
  #pending = false;

  /** Takes bytes that were typed. After a "detach", the rest of them is dropped. */
  push(bytes: Uint8Array): Typed {
    const data: number[] = [];
    let wish: Typed["wish"];
    for (const byte of bytes) {
      if (this.#pending) {
        this.#pending = false;
        if (byte === DETACH) return { data: Buffer.from(data), wish: "detach" };
        if (byte === HELP) {
          wish = "help";
          this.#atLineStart = true;
          continue;
        }
        data.push(ESCAPE);
        if (byte === ESCAPE) {
          this.#atLineStart = false;
          continue;
        }
      } else if (this.#atLineStart && byte === ESCAPE) {
        this.#pending = true;
        continue;
      }
      data.push(byte);
      this.#atLineStart = byte === ENTER || byte === NEWLINE;
    }
    return { data: Buffer.from(data), wish };
  }
}
