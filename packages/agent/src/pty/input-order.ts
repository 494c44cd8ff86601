import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** How far ahead of the one that is due an input may come. */
const MOST_AHEAD = 64n;

/** How many writers are remembered; the one that was quiet the longest is forgotten. */
const MOST_WRITERS = 64;

interface Writer {
  /** The sequence number that is due. */
  due: bigint;
  /** The last write that was begun. */
  last: Promise<void>;
  waiting: Map<bigint, () => void>;
}

/**
 * Puts the input of each writer into the order of its sequence numbers, and
 * takes what comes twice once: calls overtake each other, and are made again.
 */
export class InputOrder {
  readonly #write: (data: Uint8Array) => Promise<void>;
  readonly #writers = new Map<string, Writer>();

  constructor(write: (data: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  /**
   * Writes when it is this input's turn, and resolves when it has been written.
   *
   * @param signal - of the call; asked for only when the turn must be waited for, since few calls need one.
   * @throws the signal's reason when it aborts before the turn has come.
   */
  async send(
    writerId: string,
    sequence: bigint,
    data: Uint8Array,
    signal: () => AbortSignal,
  ): Promise<void> {
    const writer = this.#writer(writerId);
    if (sequence === 0n || sequence > writer.due + MOST_AHEAD) throw outOfReach(sequence);
    if (sequence > writer.due) await this.#turn(writer, sequence, signal());
    if (sequence === writer.due) {
      writer.due++;
      writer.last = this.#write(data);
      // Told to those that wait for it below.
      writer.last.catch(() => {});
      const next = writer.waiting.get(writer.due);
      next?.();
    }
    await writer.last;
  }

  async #turn(writer: Writer, sequence: bigint, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const former = writer.waiting.get(sequence);
    writer.waiting.set(sequence, () => {
      former?.();
      resolve();
    });
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    if (writer.due < sequence) signal.throwIfAborted();
    writer.waiting.delete(sequence);
  }

  #writer(id: string): Writer {
    const writer = this.#writers.get(id) ?? {
      due: 1n,
      last: Promise.resolve(),
      waiting: new Map<bigint, () => void>(),
    };
    // What was used last stands last.
    this.#writers.delete(id);
    this.#writers.set(id, writer);
    const [oldest] = this.#writers.keys();
    if (this.#writers.size > MOST_WRITERS && oldest !== undefined) this.#writers.delete(oldest);
    return writer;
  }
}

function outOfReach(sequence: bigint): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `input ${sequence} is out of its order`, {
    remedy: `Count from 1, and have at most ${MOST_AHEAD} calls on their way.`,
    details: { field: "sequence" },
  });
}
