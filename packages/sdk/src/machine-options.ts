import type { CallOptions } from "./call.js";
import type { BaseCommandOptions } from "./commands/options.js";
import type { MachineField, MachineState, TimeoutAction } from "./machine-info.js";

/** What {@link Machine.create} takes. */
export interface CreateOptions extends CallOptions {
  /** `name` or `name:tag`; `base` when not given. */
  template?: string | undefined;
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
  /** Labels of your own, at most 64; {@link Machine.list} filters by them. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** Environment of every command. */
  envs?: Readonly<Record<string, string>> | undefined;
  /** Default working directory; `/workspace` when not given. */
  cwd?: string | undefined;
  /** The same key makes the same machine. The SDK makes a fresh one for each call. */
  idempotencyKey?: string | undefined;
}

/** What a machine confirmed before it was released to you. */
export interface AdoptionReceipt {
  /** How many times this machine's memory has been restored. */
  generation: number;
  /** The guest's clock minus the host's, after it was set, in milliseconds. */
  clockSkewMs: number;
  /** The kernel's random pool took fresh entropy. */
  entropyReseeded: boolean;
  /** Machine-id, hostname, SSH host keys and agent key are new. */
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
}

/** What {@link Machine.runOnce} takes: options of the machine and of the command. */
export interface RunOnceOptions extends CreateOptions, Omit<BaseCommandOptions, "background"> {}
