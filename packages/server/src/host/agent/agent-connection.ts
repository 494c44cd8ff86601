import { randomBytes } from "node:crypto";
import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { ErrorReason } from "@nullspace/proto";
import { adoptionMark, CHANNEL_NONCE_BYTES } from "@nullspace/proto/channel";
import { Fault } from "@nullspace/proto/fault";
import { type Deadline, within } from "../deadline.js";
import { AGENT_SOCKET } from "../qemu/command-line.js";
import { connectUnix } from "../unix-socket.js";
import { type AgentLink, linkAgent } from "./agent-link.js";

/** How long the agent has to answer on its channel. It does so at once, unless it is being restarted. */
const ANSWER_MS = 10_000;
/** A preamble is lost when the agent is restarted just as it arrives. */
const ATTEMPTS = 3;

/**
 * The one connection to a machine's agent, shared by everyone: made when it is
 * first needed, and again after it was lost.
 */
export class AgentConnection implements Disposable {
  /** The channel key for connections from now on; one that is open is not touched. */
  key: Uint8Array;
  #machineId: string;
  #directory: string;
  readonly #disposed = new AbortController();
  #link: AgentLink | undefined;
  #dialing: Promise<AgentLink> | undefined;
  #isAdopted = false;

  /**
   * @param directory - the machine's folder.
   * @param key - the channel key that the guest listens for.
   */
  constructor(machineId: string, directory: string, key: Uint8Array) {
    this.#machineId = machineId;
    this.#directory = directory;
    this.key = key;
  }

  /**
   * The live session, made if there is none. One caller's deadline does not end the
   * attempt for the others.
   *
   * @throws Fault AGENT_UNREACHABLE, DeadlineError, or the reason of the signal.
   */
  async session(deadline: Deadline): Promise<ClientHttp2Session> {
    const former = this.#link?.session;
    // One that has just ended is forgotten a moment later.
    if (former !== undefined && !former.closed && !former.destroyed) return former;
    this.#dialing ??= this.#dial();
    const { session } = await within(this.#dialing, "the machine's agent", deadline);
    return session;
  }

  /** Names the session that {@link begin} has begun. */
  readonly nonce: Buffer = randomBytes(CHANNEL_NONCE_BYTES);

  /** Whether the agent has told that it took over the adoption that came with {@link nonce}. */
  get isAdopted(): boolean {
    return this.#isAdopted;
  }

  /**
   * As {@link session}, but the one attempt uses a connection that is open already: a guest
   * that was captured with its port connected then finds it so.
   */
  async begin(socket: Socket, deadline: Deadline): Promise<ClientHttp2Session> {
    this.#dialing = this.#keep(linkAgent(socket, this.key, deadline, this.nonce));
    return this.session(deadline);
  }

  /** Notes another name and folder of the machine; a connection that is open is not touched. */
  rename(machineId: string, directory: string): void {
    this.#machineId = machineId;
    this.#directory = directory;
  }

  /** Stops or goes on to ask the agent whether it is still there: a guest that stands still cannot answer. */
  keepAlive(isOn: boolean): void {
    if (this.#link !== undefined) this.#link.isKeptAlive = isOn;
  }

  /** Ends the connection, if there is one: the next caller gets a new one. */
  drop(): void {
    this.#link?.close();
    this.#link = undefined;
  }

  /** Ends the connection, and every attempt at one. */
  [Symbol.dispose](): void {
    this.#disposed.abort(this.#unreachable("it is being stopped"));
    this.drop();
  }

  async #dial(): Promise<AgentLink> {
    return await this.#keep(this.#attempt(1));
  }

  async #keep(dialing: Promise<AgentLink>): Promise<AgentLink> {
    try {
      const link = await dialing;
      this.#link = link;
      link.session.on("ping", (payload: Buffer) => {
        this.#isAdopted ||= payload.equals(adoptionMark(this.nonce));
      });
      void this.#forget(link);
      return link;
    } finally {
      this.#dialing = undefined;
    }
  }

  async #forget(link: AgentLink): Promise<void> {
    await link.closed;
    if (this.#link === link) this.#link = undefined;
  }

  async #attempt(count: number): Promise<AgentLink> {
    const { signal } = this.#disposed;
    const deadline: Deadline = { timeoutMs: ANSWER_MS, signal };
    try {
      const socket = await connectUnix(this.#directory, AGENT_SOCKET, deadline);
      return await linkAgent(socket, this.key, deadline);
    } catch (cause) {
      signal.throwIfAborted();
      if (count < ATTEMPTS) return this.#attempt(count + 1);
      throw this.#unreachable(cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  #unreachable(why: string, cause?: unknown): Fault {
    return new Fault(
      ErrorReason.AGENT_UNREACHABLE,
      `the agent of machine ${this.#machineId} cannot be reached: ${why}`,
      { remedy: "Try again in a moment.", cause },
    );
  }
}
