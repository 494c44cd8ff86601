import { type AdoptionReceipt as ReceiptMessage, RestoreKind as Kind } from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { BaseCommandOptions } from "./commands/options.js";
import type { NetworkOptions } from "./network.js";
import type { MachineField, MachineState, TimeoutAction, WarmPoolMode } from "./machine-info.js";

/** What {@link Machine.create} takes. */
export interface CreateOptions extends CallOptions {
  /** `name` or `name:tag`; `base` when neither this nor `snapshotId` is given. */
  template?: string | undefined;
  /** A reusable snapshot to start from in place of a template; its sizes are fixed. */
  snapshotId?: string | undefined;
  /** Virtual processors, 1 to 32; the template's own number when not given. */
  vcpus?: number | undefined;
  /** Memory in MiB, 128 to 65536; the template's own when not given. */
  memoryMb?: number | undefined;
  /** Root disk in MiB, at least the template's and at most 131072. */
  diskMb?: number | undefined;
  /** Seconds until `onTimeout`, at most 30 days; 300 when not given, none when 0. */
  timeoutSeconds?: number | undefined;
  /** What happens at the deadline; `"kill"` when not given. */
  onTimeout?: TimeoutAction | undefined;
  /** Resume the machine by traffic to its previews when it is paused; needs `onTimeout: "pause"`. */
  autoResume?: boolean | undefined;
  /** `onTimeout` also happens after so many seconds without calls, streams and preview traffic; 0 for never. */
  idleSeconds?: number | undefined;
  /** When paused, kill it after so many seconds; 0, or not given, for never. */
  deletePausedAfterSeconds?: number | undefined;
  /** Take a machine that waits in the warm pool; `"prefer"` when not given. */
  warmPool?: WarmPoolMode | undefined;
  /** What the machine may reach, and how its previews behave; resumed and forked machines are as their source. */
  network?: NetworkOptions | undefined;
  /** Labels of your own, at most 64; {@link Machine.list} filters by them. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** Environment of every command. */
  envs?: Readonly<Record<string, string>> | undefined;
  /** Default working directory; `/workspace` when not given. */
  cwd?: string | undefined;
  /** The same key makes the same machine. The SDK makes a fresh one for each call. */
  idempotencyKey?: string | undefined;
}

/**
 * What a machine's memory was restored from: a template (a machine as new), a snapshot, a paused
 * machine that goes on, or a running machine that was forked.
 */
export type RestoreKind = "template" | "snapshot" | "pause" | "fork";

/** What a machine confirmed before it was released to you. */
export interface AdoptionReceipt {
  /** What it was restored from: a wake never gives a machine as new. */
  kind: RestoreKind;
  /** How many times this machine's memory has been restored. */
  generation: number;
  /** The guest's clock minus the host's, after it was set, in milliseconds. */
  clockSkewMs: number;
  /** The kernel's random pool took fresh entropy. */
  entropyReseeded: boolean;
  /** Machine-id, hostname, agent key and SSH host key are new. */
  identityRenewed: boolean;
}

/** What {@link Machine.getInfo} takes. */
export interface GetInfoOptions<F extends MachineField = MachineField> extends CallOptions {
  /** Return only these fields. */
  fields?: readonly F[] | undefined;
}

/** What {@link Machine.list} takes. */
export interface ListOptions<F extends MachineField = MachineField> extends GetInfoOptions<F> {
  /** Only machines in this state or these; all but killed ones when not given. */
  state?: MachineState | readonly MachineState[] | undefined;
  /** Only machines of this template; a name without a tag matches every tag. */
  template?: string | undefined;
  /** Only machines with all of these labels. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** Machines on a page, 1 to 100; 50 when not given. */
  limit?: number | undefined;
  /** `nextCursor` of the page before. */
  cursor?: string | undefined;
}

/** What {@link Machine.setTimeout} takes. */
export interface SetTimeoutOptions extends CallOptions {
  /** Seconds from now until the timeout action, at most 30 days; 0 for no deadline. */
  seconds: number;
  /** What happens then; unchanged when not given. */
  onTimeout?: TimeoutAction | undefined;
  /** See {@link CreateOptions.idleSeconds}; unchanged when not given. */
  idleSeconds?: number | undefined;
  /** See {@link CreateOptions.deletePausedAfterSeconds}; unchanged when not given. */
  deletePausedAfterSeconds?: number | undefined;
}

/** What {@link Machine.connect} and {@link Machine.resume} take. */
export interface ConnectOptions extends CallOptions {
  /** Seconds until the timeout of a machine that is resumed, none when 0; as long as it had when not given. */
  timeoutSeconds?: number | undefined;
}

/** What {@link Machine.runOnce} takes: options of the machine and of the command. */
export interface RunOnceOptions extends CreateOptions, Omit<BaseCommandOptions, "background"> {}

const KINDS: Readonly<Record<Kind, RestoreKind>> = {
  // A server of before kinds tells none.
  [Kind.UNSPECIFIED]: "snapshot",
  [Kind.TEMPLATE]: "template",
  [Kind.SNAPSHOT]: "snapshot",
  [Kind.PAUSE]: "pause",
  [Kind.FORK]: "fork",
};

/** What a machine confirmed, as the SDK tells it. */
export function fromReceipt(receipt: ReceiptMessage): AdoptionReceipt {
  return {
    kind: KINDS[receipt.kind],
    generation: Number(receipt.generation),
    clockSkewMs: Number(receipt.clockSkewMs),
    entropyReseeded: receipt.entropyReseeded,
    identityRenewed: receipt.identityRenewed,
  };
}
