import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { UnavailableError } from "../errors.js";
import { randomKey } from "../idempotency.js";

/** Bytes in one message. */
const PIECE_BYTES = 64 * 1024;

/** Messages on their way at once. The machine puts them into order. */
const MOST_IN_FLIGHT = 16;

interface Piece {
  data: Uint8Array;
  options: CallOptions;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Types into a terminal: pieces arrive in the order they were sent in, and once,
 * although several are on their way at a time and a lost one is sent again.
 */
export class PtyInput {
  readonly #agent: AgentConnection;
  readonly #sessionId: string;
  readonly #waiting: Piece[] = [];
  #lane = newLane();
  #inFlight = 0;

  constructor(agent: AgentConnection, sessionId: string) {
    this.#agent = agent;
    this.#sessionId = sessionId;
  }

  /** Resolves when the terminal has been handed all of it. */
  async send(data: string | Uint8Array, options: CallOptions): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const pieces: Promise<void>[] = [];
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      // A copy: the caller may go on with its buffer.
      const piece = bytes.slice(at, at + PIECE_BYTES);
      pieces.push(
        new Promise((resolve, reject) => {
          this.#waiting.push({ data: piece, options, resolve, reject });
        }),
      );
    }
    this.#pump();
    await Promise.all(pieces);
  }

  #pump(): void {
    while (this.#inFlight < MOST_IN_FLIGHT) {
      const piece = this.#waiting.shift();
      if (piece === undefined) return;
      this.#inFlight++;
      const lane = this.#lane;
      this.#deliver(piece, lane, lane.next++)
        .then(piece.resolve, (error: unknown) => {
          this.#break(lane, error);
          piece.reject(lane.cause === error ? error : undelivered(error));
        })
        .finally(() => {
          this.#inFlight--;
          this.#pump();
        });
    }
  }

  async #deliver(piece: Piece, lane: Lane, sequence: bigint): Promise<void> {
    const { data, options } = piece;
    const { signal: outer } = options;
    const signal = outer ? AbortSignal.any([outer, lane.broken.signal]) : lane.broken.signal;
    const request = { sessionId: this.#sessionId, writerId: lane.id, sequence, data };
    await this.#agent.unary(
      { ...options, signal },
      (attempt) => this.#agent.ptys.sendInput(request, attempt),
      // The program may take its time to read: no deadline unless the caller wants one.
      { idempotent: true, defaultTimeoutMs: 0 },
    );
  }

  /** What comes after a piece that was not delivered would wait for it for ever: nothing of it is delivered. */
  #break(lane: Lane, cause: unknown): void {
    if (this.#lane !== lane) return;
    lane.cause = cause;
    this.#lane = newLane();
    lane.broken.abort(cause);
    for (const piece of this.#waiting.splice(0)) piece.reject(undelivered(cause));
  }
}

/** A numbering of pieces, which ends with the first that is lost. */
interface Lane {
  id: string;
  next: bigint;
  broken: AbortController;
  cause: unknown;
}

function newLane(): Lane {
  return { id: randomKey(), next: 1n, broken: new AbortController(), cause: undefined };
}

function undelivered(cause: unknown): UnavailableError {
  return new UnavailableError("earlier input was not delivered, so this was not either", {
    reason: "CONNECTION_LOST",
    retryable: true,
    cause,
  });
}
