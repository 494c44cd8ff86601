import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns";
import { once } from "node:events";
import { connect, isIPv6 } from "node:net";
import { type Address, encodeQuery, isTruncated, parseAnswer, type Query } from "./message.js";
import { MAX_MESSAGE_BYTES, messagesOf, framed } from "./stream.js";

/** How long one resolver may take, in milliseconds; a machine's own resolver waits five seconds. */
const ANSWER_MS = 2_000;

/** An answer of a resolver, as it came. */
export interface UpstreamAnswer {
  readonly message: Buffer;
  readonly addresses: readonly Address[];
}

/** A resolver of the host. */
interface Server {
  readonly host: string;
  readonly port: number;
}

/** The resolvers that the server asks on behalf of machines. */
export class Upstream {
  readonly #given: readonly string[];

  /** @param servers - addresses, with a port or without; those of the host when empty. */
  constructor(servers: readonly string[]) {
    this.#given = servers;
  }

  /** Asks one resolver after the other. @returns `undefined` when none answers. */
  async ask(query: Query, signal: AbortSignal): Promise<UpstreamAnswer | undefined> {
    // The host's may have changed: a new resolver reads them anew.
    const servers = this.#given.length > 0 ? this.#given : new Resolver().getServers();
    for (const server of servers.map(parseServer)) {
      const answer = await ask(server, query, signal);
      if (answer !== undefined) return answer;
      if (signal.aborted) return undefined;
    }
    return undefined;
  }
}

async function ask(
  server: Server,
  query: Query,
  signal: AbortSignal,
): Promise<UpstreamAnswer | undefined> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  const answer = await askOver(askUdp, server, query, limit);
  if (answer === undefined || !isTruncated(answer.message)) return answer;
  const again = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  return askOver(askTcp, server, query, again);
}

type Messages = (server: Server, question: Buffer, signal: AbortSignal) => AsyncIterable<Buffer>;

/** The first message that answers the question: others may be forged, or late. */
async function askOver(
  messages: Messages,
  server: Server,
  query: Query,
  signal: AbortSignal,
): Promise<UpstreamAnswer | undefined> {
  const id = randomInt(0x10000);
  try {
    for await (const message of messages(server, encodeQuery(query, id), signal)) {
      const addresses = parseAnswer(message, id, query);
      if (addresses !== undefined) return { message, addresses };
    }
  } catch {
    // Refused, unreachable, out of time: the next resolver may do better.
  }
  return undefined;
}

async function* askUdp(server: Server, question: Buffer, signal: AbortSignal) {
  await using socket = createSocket(isIPv6(server.host) ? "udp6" : "udp4");
  const failed = once(socket, "error", { signal }).then(([error]) => {
    throw error;
  });
  failed.catch(() => undefined);
  // Connected, it takes datagrams of the resolver alone, at a port that nobody can guess.
  socket.connect(server.port, server.host);
  await Promise.race([once(socket, "connect", { signal }), failed]);
  socket.send(question);
  for (;;) {
    const received: unknown[] = await Promise.race([once(socket, "message", { signal }), failed]);
    if (received[0] instanceof Buffer) yield received[0];
  }
}

async function* askTcp({ host, port }: Server, question: Buffer, signal: AbortSignal) {
  const socket = connect({ host, port, signal });
  try {
    await once(socket, "connect", { signal });
    socket.write(framed(question));
    yield* messagesOf(socket, MAX_MESSAGE_BYTES);
  } finally {
    socket.destroy();
  }
}

/** Reads "192.0.2.1", "192.0.2.1:5353", "2001:db8::1" or "[2001:db8::1]:5353". */
export function parseServer(text: string): Server {
  const bracketed = /^\[(.+)\]:(\d+)$/.exec(text);
  const [, host = text, port = "53"] = bracketed ?? /^([^:]+):(\d+)$/.exec(text) ?? [];
  return { host, port: Number(port) };
}
