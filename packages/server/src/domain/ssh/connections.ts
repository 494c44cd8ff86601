import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Activity } from "../activity.js";
import type { Machine } from "../machine.js";
import type { Quotas } from "../quotas.js";
import { randomAlphanumeric } from "../random.js";
import type { SshAccess, SshAccessStore, SshConnectionEnd } from "./access.js";
import { invalidToken } from "./faults.js";

/** Connections at once: each holds two sockets and what is on its way between them. */
const MOST = { server: 512, machine: 64 } as const;

/** When to try again where there are too many, in milliseconds: nobody knows when one ends. */
const RETRY_AFTER_MS = 5_000;

/** Of the id of a connection, which only records have. */
const ID_LENGTH = 16;

/** Why a connection was cut. */
export type CutCause = "expired" | "revoked" | "machine stopped" | "server stopping";

/** A connection that is open. Disposing it notes its end. */
export interface SshConnection extends AsyncDisposable {
  /** Aborted when it must be cut. */
  readonly signal: AbortSignal;
}

/** What {@link SshConnections} needs. */
export interface SshConnectionsOptions {
  readonly hostId: string;
  readonly store: SshAccessStore;
  readonly quotas: Quotas;
  readonly activity: Activity;
  readonly onEvent: () => void;
}

interface Open {
  readonly accessId: string;
  readonly machineId: string;
  readonly cut: (cause: CutCause) => void;
}

/** The SSH connections that go through this server: each is noted, and cut when what allowed it has ended. */
export class SshConnections implements Disposable {
  readonly #options: SshConnectionsOptions;
  readonly #open = new Set<Open>();
  /** By id, those that the records call open since this server: with their end where it is not written yet. */
  readonly #recorded = new Map<string, SshConnectionEnd | undefined>();

  constructor(options: SshConnectionsOptions) {
    this.#options = options;
  }

  /**
   * Notes a connection that begins, before it carries anything.
   *
   * @throws Fault SSH_TOKEN_INVALID when the access has ended, TOO_MANY_SSH_CONNECTIONS,
   * QUOTA_EXCEEDED.
   */
  async begin({ id, machineId, expiresAt }: SshAccess): Promise<SshConnection> {
    this.#refuseTooMany(machineId);
    const { hostId, store, quotas, activity, onEvent } = this.#options;
    const controller = new AbortController();
    let cause = "closed";
    const cut = (why: CutCause) => {
      if (controller.signal.aborted) return;
      cause = why;
      controller.abort(cutOff(why));
    };
    // Before the look at the record: whoever revokes it from now on finds this.
    const open = { accessId: id, machineId, cut };
    this.#open.add(open);
    const timer = setTimeout(() => cut("expired"), expiresAt.getTime() - Date.now());
    const use = activity.begin(machineId);
    const release = () => {
      this.#open.delete(open);
      clearTimeout(timer);
      use[Symbol.dispose]();
    };
    const startedAt = Date.now();
    const connection = {
      id: randomAlphanumeric(ID_LENGTH),
      hostId,
      startedAt: new Date(startedAt),
    };
    const recorded = this.#recorded.set(connection.id, undefined);
    try {
      const access = await store.use(id, connection, quotas.sshConnections);
      if (access === undefined) throw invalidToken();
      onEvent();
    } catch (error) {
      release();
      recorded.delete(connection.id);
      throw error;
    }
    return {
      signal: controller.signal,
      async [Symbol.asyncDispose]() {
        release();
        const at = Date.now();
        const end = { at: new Date(at), cause, openMs: at - startedAt };
        // Where it cannot be written now, endLost does it.
        recorded.set(connection.id, end);
        await store.end(connection.id, end);
        recorded.delete(connection.id);
        onEvent();
      },
    };
  }

  /**
   * Notes the end of connections that the records call open and nobody carries: those of a
   * server that was killed, and those whose end could not be written. It can be done again
   * at any time.
   *
   * @returns How many there were.
   */
  async endLost(): Promise<number> {
    const { hostId, store, onEvent } = this.#options;
    let count = 0;
    for (const id of await store.listOpen(hostId)) {
      const end = this.#endOf(id);
      if (end === undefined) continue;
      if (await store.end(id, end)) count++;
      this.#recorded.delete(id);
    }
    if (count > 0) onEvent();
    return count;
  }

  /** How a connection of the records has ended; `undefined` while it is open. */
  #endOf(id: string): SshConnectionEnd | undefined {
    if (this.#recorded.has(id)) return this.#recorded.get(id);
    // It went with the server that carried it, and when that was nobody saw.
    return { at: new Date(), cause: "server restart", openMs: undefined };
  }

  /** Cuts the connections of an access. */
  endAccess(accessId: string, cause: CutCause): void {
    for (const open of this.#open) if (open.accessId === accessId) open.cut(cause);
  }

  /** Cuts the connections of a machine that has stopped. */
  observe({ id, state }: Machine): void {
    // One that is being paused may go on yet.
    if (state === "running" || state === "pausing" || state === "creating") return;
    for (const open of this.#open) if (open.machineId === id) open.cut("machine stopped");
  }

  /** Cuts all. */
  [Symbol.dispose](): void {
    for (const open of this.#open) open.cut("server stopping");
  }

  #refuseTooMany(machineId: string): void {
    const ofMachine = [...this.#open].filter((open) => open.machineId === machineId).length;
    if (ofMachine < MOST.machine && this.#open.size < MOST.server) return;
    const [who, most] =
      ofMachine < MOST.machine ? ["this server", MOST.server] : ["this machine", MOST.machine];
    throw new Fault(
      ErrorReason.TOO_MANY_SSH_CONNECTIONS,
      `${who} has ${most} SSH connections already`,
      {
        remedy: "Close some, or let several sessions share one with ControlMaster.",
        retryAfterMs: RETRY_AFTER_MS,
      },
    );
  }
}

function cutOff(cause: CutCause): Fault {
  return new Fault(ErrorReason.CANCELLED, `the SSH connection was cut: ${cause}`);
}
