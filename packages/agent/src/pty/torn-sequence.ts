/** Most that is kept of a sequence without an end; a string cut here ends like any other. */
const MOST_KEPT = 4 << 10;

const BEL = 0x07;
const CAN = 0x18;
const SUB = 0x1a;
const ESC = 0x1b;

type State = "ground" | "utf8" | "escape" | "csi" | "osc" | "string";

/** What follows ESC, or is the second byte of a C1 control in UTF-8 plus 0x40. */
const INTRODUCED: Readonly<Record<number, State>> = {
  0x50: "string", // DCS
  0x58: "string", // SOS
  0x5b: "csi",
  0x5d: "osc",
  0x5e: "string", // PM
  0x5f: "string", // APC
};

/**
 * Finds where a terminal's output is torn: the bytes at its end that begin a
 * character or an escape sequence and do not complete it. Whoever joins a
 * stream there must be given them first, or would take the rest for text.
 */
export class TornSequence {
  #state: State = "ground";
  #kept: Buffer = Buffer.alloc(0);
  /** Of the character in progress: its first byte, and how many are to come. */
  #lead = 0;
  #missing = 0;

  /** The beginning of what is not complete; empty between sequences. */
  get bytes(): Buffer {
    if (this.#state === "osc" || this.#state === "string" || this.#state === "utf8") {
      return this.#kept;
    }
    // Control characters in the midst of a sequence have had their effect already.
    return Buffer.from(this.#kept.filter((byte) => byte >= 0x20 || byte === ESC));
  }

  /** Takes the next piece of the stream. */
  push(data: Uint8Array): void {
    let start = this.#state === "ground" ? -1 : 0;
    let carried = this.#state !== "ground";
    for (const [at, byte] of data.entries()) {
      const before = this.#state;
      const isNew = this.#step(byte);
      if (this.#state === "ground") {
        if (before !== "ground") {
          start = -1;
          carried = false;
        }
      } else if (isNew) {
        start = at;
        carried = false;
      }
    }
    if (start < 0) {
      this.#kept = Buffer.alloc(0);
      return;
    }
    const former = carried ? this.#kept : Buffer.alloc(0);
    const room = Math.max(0, MOST_KEPT - former.length);
    this.#kept = Buffer.concat([former, data.subarray(start, start + room)]);
  }

  /** Takes one byte; says whether a new sequence begins with it. */
  #step(byte: number): boolean {
    if (this.#state === "utf8") {
      if ((byte & 0xc0) === 0x80) return this.#continueCharacter(byte);
      this.#state = "ground";
    }
    if (this.#state === "ground") return this.#begin(byte);
    if (byte === ESC) {
      this.#state = "escape";
      return true;
    }
    if (byte === CAN || byte === SUB) {
      this.#state = "ground";
      return false;
    }
    switch (this.#state) {
      case "escape":
        // Intermediates, and control characters in between, leave it open.
        if (byte >= 0x30 && byte !== 0x7f) this.#state = INTRODUCED[byte] ?? "ground";
        return false;
      case "csi":
        if (byte >= 0x40 && byte !== 0x7f) this.#state = "ground";
        return false;
      case "osc":
        if (byte === BEL) this.#state = "ground";
        return false;
      case "string":
      default:
        return false;
    }
  }

  #begin(byte: number): boolean {
    if (byte === ESC) {
      this.#state = "escape";
      return true;
    }
    if (byte < 0xc2 || byte > 0xf4) return false;
    this.#state = "utf8";
    this.#lead = byte;
    this.#missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    return true;
  }

  #continueCharacter(byte: number): boolean {
    this.#missing--;
    if (this.#missing > 0) return false;
    const isControl = this.#lead === 0xc2 && byte < 0xa0;
    this.#state = (isControl ? INTRODUCED[byte - 0x40] : undefined) ?? "ground";
    return false;
  }
}
