import type { EgressPolicy } from "@nullspace/proto";

/** Where a machine is in its life, as `machine.proto` says. */
export type MachineState =
  | "creating"
  | "running"
  | "pausing"
  | "paused"
  | "resuming"
  | "killing"
  | "killed"
  | "failed";

/** States that end by themselves, if need be in `failed`. */
export type TransientState = "creating" | "pausing" | "resuming" | "killing";

/** What happens to a machine at its deadline. */
export type TimeoutAction = "kill" | "pause";

/** What a machine's memory was restored from. */
export type RestoreKind = "template" | "snapshot" | "pause" | "fork";

/** What a restored guest confirmed before it was released to its owner. */
export interface Receipt {
  readonly kind: RestoreKind;
  readonly generation: number;
  readonly clockSkewMs: number;
  readonly entropyReseeded: boolean;
  readonly identityRenewed: boolean;
}

/** How a machine's previews behave. */
export interface PreviewPolicy {
  /** When false, a grant is not enough: requests carry the traffic access token too. */
  readonly allowPublicTraffic: boolean;
  /** What services see as Host, with "${PORT}" for the port; the preview's own host when empty. */
  readonly maskRequestHost: string;
  /** The machine whose traffic access token is good: itself, or the one that it goes on from. */
  readonly trafficId: string;
}

/** A machine's record: what its owner asked for and what became of it. */
export interface Machine {
  readonly id: string;
  /** The project it belongs to, for ever. */
  readonly projectId: string;
  /** The host it was placed on. */
  readonly hostId: string;
  readonly state: MachineState;
  /** When it entered its state. */
  readonly stateSince: Date;
  /** Grows with every change of the record: of two readings the higher one is the later. */
  readonly revision: number;
  readonly templateName: string;
  readonly templateTag: string;
  /** Snapshot of the host that its memory was restored from. */
  readonly snapshotId: string;
  /** The owner's own snapshot that it was started from; empty for one of a template or a fork. */
  readonly sourceSnapshotId: string;
  /** The machine whose memory it goes on from; empty for one that was started from a template. */
  readonly parentId: string;
  /** While it pauses or is paused: the snapshot that holds, or will hold, its memory and disk; else empty. */
  readonly pausedSnapshotId: string;
  /** While it resumes or when it has been resumed: the machine that goes on from it; else empty. */
  readonly resumedAs: string;
  /** Traffic to its previews resumes it when it is paused. */
  readonly autoResume: boolean;
  readonly previews: PreviewPolicy;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly createdAt: Date;
  readonly startedAt: Date | undefined;
  /** When the timeout action happens; `undefined` for a machine without a deadline. */
  readonly timeoutAt: Date | undefined;
  readonly onTimeout: TimeoutAction;
  /** Length of its timeout, in seconds, which a machine that is resumed from it inherits; 0 for none. */
  readonly timeoutSeconds: number;
  /** The timeout action also happens after so many seconds without calls and streams; 0 for never. */
  readonly idleSeconds: number;
  /** A paused machine is killed after so many seconds; 0 for never. */
  readonly deletePausedAfterSeconds: number;
  /** When a paused machine is killed; `undefined` for never. */
  readonly deleteAt: Date | undefined;
  /** What it may reach. */
  readonly egress: EgressPolicy;
  /** It was waiting in a warm pool when it was asked for. */
  readonly fromWarmPool: boolean;
  /** When it was killed or failed. */
  readonly endedAt: Date | undefined;
  /** Why it failed, with the tail of its console where there is one; else empty. */
  readonly failure: string;
  readonly receipt: Receipt | undefined;
  /** Hash of the request that made it, to tell a retry from another request under the same key. */
  readonly requestHash: string;
}

/** States in which a machine has come to its end. */
export const ENDED_STATES = ["killed", "failed"] as const satisfies readonly MachineState[];

/** States in which a machine holds, or may hold, something on its host. */
export const LIVE_STATES = [
  "creating",
  "running",
  "pausing",
  "paused",
  "resuming",
  "killing",
] as const satisfies readonly MachineState[];

/** Whether a machine in this state has come to its end. */
export function hasEnded(state: MachineState): boolean {
  return state === "killed" || state === "failed";
}

/** Whether a machine in this state has, or may have, a process on its host. */
export function holdsMemory(state: MachineState): boolean {
  return state === "creating" || state === "running" || state === "pausing";
}
