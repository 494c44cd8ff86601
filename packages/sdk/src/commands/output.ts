import { concatBytes } from "../bytes.js";
import { OutputStream, type ProcessDropped, type ProcessOutput } from "@nullspace/proto/agent";

/** A piece of a command's output. */
export interface CommandOutput {
  stream: "stdout" | "stderr";
  /** The bytes as the command wrote them. */
  data: Uint8Array;
  /** The characters that `data` completes; one that is torn comes with the next piece. */
  text: string;
  /** Place of the first byte, counted over both streams since the start. */
  offset: number;
  /** Bytes of both streams just before this piece that the machine no longer keeps; mostly 0. */
  droppedBytes: number;
}

/** Turns the protocol's output events into pieces with text, one decoder per stream. */
export class OutputDecoder {
  readonly #decoders = { stdout: newDecoder(), stderr: newDecoder() };
  #dropped = 0;

  /** Takes note of output that is lost. */
  drop(event: ProcessDropped): void {
    this.#dropped += Number(event.bytes);
  }

  /** Decodes one piece. */
  decode(event: ProcessOutput): CommandOutput {
    const stream = event.stream === OutputStream.STDERR ? "stderr" : "stdout";
    const output: CommandOutput = {
      stream,
      data: event.data,
      text: this.#decoders[stream].decode(event.data, { stream: true }),
      offset: Number(event.offset),
      droppedBytes: this.#dropped,
    };
    this.#dropped = 0;
    return output;
  }

  /** What is left of characters that were never completed, as U+FFFD. */
  end(): { stdout: string; stderr: string } {
    return { stdout: this.#decoders.stdout.decode(), stderr: this.#decoders.stderr.decode() };
  }
}

/** Keeps the last bytes of a stream, up to a bound. */
export class TailBuffer {
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #first = 0;
  #bytes = 0;
  /** Bytes that are no longer kept. */
  droppedBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Appends `chunk`, which must not change afterwards. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes > this.#maxBytes) this.#dropFromFront(this.#bytes - this.#maxBytes);
  }

  #dropFromFront(excess: number): void {
    const front = this.#chunks[this.#first];
    if (front === undefined) return;
    const cut = Math.min(excess, front.length);
    this.#chunks[this.#first] = front.subarray(cut);
    if (cut === front.length) this.#first++;
    this.#bytes -= cut;
    this.droppedBytes += cut;
    // The list is shortened now and then, not each time: shifting it would be quadratic.
    if (this.#first > 1024 && this.#first * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
  }

  /** All bytes that are kept, in one piece. */
  concat(): Uint8Array {
    return concatBytes(this.#chunks.slice(this.#first), this.#bytes);
  }
}

function newDecoder() {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
