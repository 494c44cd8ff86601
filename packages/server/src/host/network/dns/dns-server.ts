import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket as Connection } from "node:net";
import type { EgressPolicy } from "@nullspace/proto";
import { parseCidr } from "../../../domain/ipv4.js";
import type { Log } from "../../../domain/log.js";
import { DNS_PORT } from "../addresses.js";
import { isNeverPinned } from "../rules.js";
import {
  encodeReply,
  encodeTruncated,
  isForwarded,
  parseQuery,
  type Query,
  withId,
} from "./message.js";
import { verdictOf } from "./names.js";
import { framed, messagesOf } from "./stream.js";
import type { Upstream } from "./upstream.js";

/** Questions of one machine that wait for an answer; more are dropped, and asked again. */
const MAX_WAITING = 64;
const MAX_CONNECTIONS = 16;
/** No question is longer. */
const MAX_QUERY_BYTES = 4096;
const IDLE_MS = 10_000;
/** An answer holds for so many seconds at least and at most, whatever it says itself. */
const HOLDS = { min: 30, max: 3600 } as const;

/** What the server of one machine works with. */
export interface DnsServerOptions {
  /** The host's end of the machine's network: nobody else can reach it. */
  readonly address: string;
  readonly upstream: Upstream;
  /** The policy that holds at the moment. */
  readonly policy: () => EgressPolicy | undefined;
  /** Lets the machine reach addresses for the sake of a name, for some seconds. */
  readonly pin: (domain: string, addresses: readonly string[], seconds: number) => Promise<void>;
  readonly log: Log;
}

/** Answers the questions of one machine for names, as far as its policy allows them. */
export class DnsServer implements AsyncDisposable {
  readonly #options: DnsServerOptions;
  readonly #datagrams: Socket = createSocket("udp4");
  readonly #server: Server = createServer();
  readonly #connections = new Set<Connection>();
  readonly #stopping = new AbortController();
  #waiting = 0;

  private constructor(options: DnsServerOptions) {
    this.#options = options;
    this.#datagrams.on("message", (message, from) => void this.#serveDatagram(message, from));
    this.#datagrams.on("error", (err) =>
      this.#options.log.warn({ err }, "the DNS server of a machine"),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("connection", (connection) => void this.#serveConnection(connection));
  }

  /** @throws the system's error when the address cannot be had. */
  static async open(options: DnsServerOptions): Promise<DnsServer> {
    const server = new DnsServer(options);
    try {
      server.#datagrams.bind({ address: options.address, port: DNS_PORT, exclusive: true });
      await once(server.#datagrams, "listening");
      server.#server.listen({ host: options.address, port: DNS_PORT, exclusive: true });
      await once(server.#server, "listening");
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([
      new Promise<void>((resolve) => this.#datagrams.close(() => resolve())),
      new Promise<void>((resolve) => this.#server.close(() => resolve())),
    ]);
  }

  async #serveDatagram(message: Buffer, from: RemoteInfo): Promise<void> {
    const reply = await this.#answer(message, true);
    if (reply === undefined || this.#stopping.signal.aborted) return;
    this.#datagrams.send(reply, from.port, from.address);
  }

  async #serveConnection(connection: Connection): Promise<void> {
    this.#connections.add(connection);
    connection.setTimeout(IDLE_MS, () => connection.destroy());
    try {
      // One after the other: a client that does not read its answers gets no further ones.
      for await (const message of messagesOf(connection, MAX_QUERY_BYTES)) {
        const reply = await this.#answer(message, false);
        if (reply !== undefined && !connection.write(framed(reply)))
          await once(connection, "drain");
      }
    } catch {
      // The guest broke it off.
    } finally {
      this.#connections.delete(connection);
      connection.destroy();
    }
  }

  async #answer(message: Buffer, inDatagram: boolean): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if (query === undefined || this.#waiting >= MAX_WAITING) return undefined;
    if ("refusal" in query) return encodeReply(query, query.refusal);
    this.#waiting++;
    try {
      return await this.#resolve(query, inDatagram);
    } catch (err) {
      if (!this.#stopping.signal.aborted) {
        this.#options.log.warn(
          { err, address: this.#options.address },
          "a name could not be resolved",
        );
      }
      return encodeReply(query, "serverFailure");
    } finally {
      this.#waiting--;
    }
  }

  async #resolve(query: Query, inDatagram: boolean): Promise<Buffer> {
    const { upstream, policy, pin } = this.#options;
    const verdict = verdictOf(policy(), query.name);
    if (verdict.kind === "refuse") return encodeReply(query, "noSuchName");
    if (!isForwarded(query.type)) return encodeReply(query);
    const answer = await upstream.ask(query, this.#stopping.signal);
    if (answer === undefined) return encodeReply(query, "serverFailure");
    if (verdict.kind === "pin") {
      const addresses = answer.addresses.filter(({ address }) => mayBePinned(address));
      const shortest = Math.min(...addresses.map(({ ttl }) => ttl));
      const seconds = Math.min(Math.max(shortest, HOLDS.min), HOLDS.max);
      const pinned = addresses.map(({ address }) => address);
      if (pinned.length > 0) await pin(verdict.domain, pinned, seconds);
    }
    if (inDatagram && answer.message.length > query.maxBytes) return encodeTruncated(query);
    return withId(answer.message, query.id);
  }
}

function mayBePinned(address: string): boolean {
  const range = parseCidr(address);
  return range !== undefined && !isNeverPinned(range);
}
