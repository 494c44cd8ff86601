import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

/** Beside what answers hold, between one look and the next. */
const MOST_BESIDE_BYTES = 2 << 20;
/** Headers and trailers of a call. */
const MOST_BESIDE_CALL_BYTES = 4 << 10;
/** For each byte of an answer: a message of one byte has a frame and an envelope around it. */
const MOST_BESIDE_BYTE = 16;

const traffic = new WeakMap<ClientHttp2Session, AgentTraffic>();

/**
 * Compares what comes through an agent's channel with what of it anybody has asked for. There are
 * frames that HTTP/2 allows at any time and in any number, that are answered by nothing, and that
 * each take some work: a guest could keep a host busy with them for ever.
 */
export class AgentTraffic {
  readonly #socket: Socket;
  readonly #onFlood: () => void;
  /** Bytes that a guest may have sent by now. */
  #allowed: number;

  /**
   * @param session - over this socket, and as new.
   * @param onFlood - called when more has come than calls account for.
   */
  constructor(session: ClientHttp2Session, socket: Socket, onFlood: () => void) {
    this.#socket = socket;
    this.#onFlood = onFlood;
    this.#allowed = socket.bytesRead + MOST_BESIDE_BYTES;
    traffic.set(session, this);
  }

  /** Of a session; undefined where nobody watches. */
  static of(session: ClientHttp2Session): AgentTraffic | undefined {
    return traffic.get(session);
  }

  /** Counts a call that begins, and what it brings. */
  watch(call: ClientHttp2Stream): void {
    this.#allowed += MOST_BESIDE_CALL_BYTES;
    // What is read by nobody counts as well, and a listener would have it read.
    const push = call.push.bind(call);
    call.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
      if (chunk !== null) this.#allowed += (1 + MOST_BESIDE_BYTE) * chunk.length;
      return push(chunk, encoding);
    };
    this.#look();
  }

  /** To be called from time to time: what has not been used of the past is no credit for ever. */
  renew(): void {
    this.#look();
    this.#allowed = this.#socket.bytesRead + MOST_BESIDE_BYTES;
  }

  #look(): void {
    if (this.#socket.bytesRead > this.#allowed) this.#onFlood();
  }
}
