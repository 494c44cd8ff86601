import type { ForkResult as ForkResultMessage } from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import { toForkError } from "./error-mapping.js";
import { InternalError, type NullspaceError } from "./errors.js";
import type { Machine } from "./machine.js";
import type { CreatedMachine } from "./machine-calls.js";
import type { TimeoutAction } from "./machine-info.js";
import { fromReceipt } from "./machine-options.js";

/** What {@link Machine.fork} takes. */
export interface ForkOptions<N extends number = number> extends CallOptions {
  /** Children, 1 to 100; 1 when not given. */
  count?: N | undefined;
  /** Labels of the children; those of the source when not given. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** Added to the environment that the source's commands have. */
  envs?: Readonly<Record<string, string>> | undefined;
  /** Seconds until the children's `onTimeout`; 300 when not given, none when 0. */
  timeoutSeconds?: number | undefined;
  /** What happens to the children at their deadline; `"kill"` when not given. */
  onTimeout?: TimeoutAction | undefined;
  /** The same key makes the same children. The SDK makes a fresh one for each call. */
  idempotencyKey?: string | undefined;
}

/** What became of one child: it runs, or why there is none. */
export type ForkResult =
  | { machine: Machine; error?: undefined }
  | { machine?: undefined; error: NullspaceError };

/** What {@link Machine.fork} gives: the child for a count of 1, else one result for each. */
export type Forked<N extends number> = number extends N
  ? Machine | ForkResult[]
  : N extends 1
    ? Machine
    : ForkResult[];

/** What became of one child, before it has a handle. */
export type ForkOutcome = { created: CreatedMachine } | { error: NullspaceError };

/** What became of one child, as the SDK tells it. */
export function fromForkResult({ result }: ForkResultMessage): ForkOutcome {
  switch (result.case) {
    case "child": {
      const { machine, receipt } = result.value;
      if (machine === undefined) break;
      return { created: { id: machine.id, receipt: receipt && fromReceipt(receipt) } };
    }
    case "failure":
      return { error: toForkError(result.value.message, result.value.info) };
    case undefined:
      break;
  }
  const remedy = "Is the server as new as this SDK?";
  return { error: new InternalError("the server's answer holds no child", { remedy }) };
}
