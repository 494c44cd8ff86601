import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Activity } from "../activity.js";
import type { EventStore } from "../event.js";
import type { Machine } from "../machine.js";
import type { SshAccess, SshAccessStore } from "./access.js";
import { invalidToken } from "./faults.js";

/** Connections at once: each holds two sockets and what is on its way between them. */
const MOST = { server: 512, machine: 64 } as const;

/** Why a connection was cut. */
export type CutCause = "expired" | "revoked" | "machine stopped" | "server stopping";

/** A connection that is open. Disposing it notes its end. */
export interface SshConnection extends AsyncDisposable {
  /** Aborted when it must be cut. */
  readonly signal: AbortSignal;
}

/** What {@link SshConnections} needs. */
export interface SshConnectionsOptions {
  readonly store: SshAccessStore;
  readonly eventStore: EventStore;
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

  constructor(options: SshConnectionsOptions) {
    this.#options = options;
  }

  /**
   * Notes a connection that begins, before it carries anything.
   *
   * @throws Fault SSH_TOKEN_INVALID when the access has ended, TOO_MANY_SSH_CONNECTIONS.
   */
  async begin({ id, machineId, projectId, expiresAt }: SshAccess): Promise<SshConnection> {
    this.#refuseTooMany(machineId);
    const { store, eventStore, activity, onEvent } = this.#options;
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
    try {
      if ((await store.use(id, new Date(startedAt))) === undefined) throw invalidToken();
      onEvent();
    } catch (error) {
      release();
      throw error;
    }
    return {
      signal: controller.signal,
      async [Symbol.asyncDispose]() {
        release();
        await eventStore.append({
          type: "ssh disconnected",
          createdAt: new Date(),
          projectId,
          machineId,
          sshAccessId: id,
          cause,
          timings: { openMs: Date.now() - startedAt },
        });
        onEvent();
      },
    };
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
      { remedy: "Close some, or let several sessions share one with ControlMaster." },
    );
  }
}

function cutOff(cause: CutCause): Fault {
  return new Fault(ErrorReason.CANCELLED, `the SSH connection was cut: ${cause}`);
}
