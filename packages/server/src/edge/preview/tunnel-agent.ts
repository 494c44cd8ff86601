import { Agent, type ClientRequestArgs } from "node:http";
import type { Duplex } from "node:stream";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** How long a connection that nobody uses is kept: less than services usually keep theirs, in milliseconds. */
const IDLE_MS = 4000;
/** Connections to one port that are kept while nobody uses them. */
const MOST_IDLE = 32;

/** How long to wait for a connection to a machine's agent, in milliseconds. */
const CONNECT_TIMEOUT_MS = 30_000;

/** Connections of HTTP to ports of machines, used again and again. The "host" is a machine's id. */
export class TunnelAgent extends Agent {
  readonly #begin: (machineId: string, port: number, signal: AbortSignal) => Promise<Duplex>;

  /** @param begin Gives a connection, which may fail to be established later. */
  constructor(begin: (machineId: string, port: number, signal: AbortSignal) => Promise<Duplex>) {
    super({ keepAlive: true, maxFreeSockets: MOST_IDLE, timeout: IDLE_MS, scheduling: "lifo" });
    this.#begin = begin;
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    void this.#connect(String(options.host), Number(options.port), callback);
    return undefined;
  }

  async #connect(
    machineId: string,
    port: number,
    callback: ((error: Error | null, stream: Duplex) => void) | undefined,
  ): Promise<void> {
    let tunnel: Duplex;
    try {
      tunnel = await this.#begin(machineId, port, AbortSignal.timeout(CONNECT_TIMEOUT_MS));
    } catch (error) {
      // The types have no way to say that there is no stream when there is an error.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      callback?.(toFault(error), undefined as unknown as Duplex);
      return;
    }
    // In HTTP a half that has ended ends the connection.
    tunnel.once("end", () => tunnel.end());
    callback?.(null, tunnel);
  }
}

function toFault(error: unknown): Error {
  if (error instanceof Error && error.name !== "TimeoutError") return error;
  return new Fault(ErrorReason.AGENT_UNREACHABLE, "the machine's agent does not answer", {
    remedy: "Try again in a moment; a machine that has died is shown as failed.",
    cause: error,
  });
}
