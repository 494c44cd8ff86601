import { Agent, type ClientRequestArgs } from "node:http";
import type { Duplex } from "node:stream";
import { unreachable } from "../connect-agent.js";

/** How long a connection that nobody uses is kept: less than services usually keep theirs, in milliseconds. */
const IDLE_MS = 4000;
/** Connections to one port that are kept while nobody uses them. */
const MOST_IDLE = 32;

/** Connections of HTTP to ports of machines, used again and again. The "host" is a machine's id. */
export class TunnelAgent extends Agent {
  readonly #begin: (machineId: string, port: number) => Promise<Duplex>;

  /** @param begin Gives a connection, which may fail to be established later. */
  constructor(begin: (machineId: string, port: number) => Promise<Duplex>) {
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
      tunnel = await this.#begin(machineId, port);
    } catch (error) {
      // The types have no way to say that there is no stream when there is an error.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      callback?.(toError(error), undefined as unknown as Duplex);
      return;
    }
    // In HTTP a half that has ended ends the connection.
    tunnel.once("end", () => tunnel.end());
    callback?.(null, tunnel);
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : unreachable("the machine's agent does not answer", error);
}
