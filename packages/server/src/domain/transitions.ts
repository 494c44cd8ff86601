import type { MachineState, TransientState } from "./machine.js";

/** One edge of the state machine. */
export interface Transition {
  readonly from: readonly MachineState[];
  readonly to: MachineState;
}

/**
 * Every way a machine changes its state. Each is one database transaction that
 * checks the state it leaves, and belongs to one idempotent action of the host:
 *
 * | transition | host action |
 * |---|---|
 * | `start`  | after `StartMachine` |
 * | `pause`  | before `CaptureMachine`; allocates the snapshot's id |
 * | `suspend` | after `CaptureMachine` |
 * | `unpause` | after a `CaptureMachine` that failed |
 * | `resume` | before `StartMachine` of the machine that goes on; allocates its id |
 * | `settle` | after that start, however it ended |
 * | `kill`   | before `StopMachine` |
 * | `finish` | after `StopMachine` |
 * | `fail`   | before `StopMachine`, so that the console's tail is safe in the record |
 * | `lose`   | after `ListSnapshots`, for a paused machine whose snapshot is gone |
 *
 * A crash between the two is mended by doing the action again: see the reconciler.
 */
export const TRANSITIONS = {
  start: { from: ["creating"], to: "running" },
  pause: { from: ["running"], to: "pausing" },
  suspend: { from: ["pausing"], to: "paused" },
  unpause: { from: ["pausing"], to: "running" },
  resume: { from: ["paused"], to: "resuming" },
  settle: { from: ["resuming"], to: "paused" },
  kill: {
    from: ["creating", "running", "pausing", "paused", "resuming", "failed"],
    to: "killing",
  },
  finish: { from: ["killing"], to: "killed" },
  // Nothing of a paused or resuming machine runs that could fail.
  fail: { from: ["creating", "running", "pausing", "killing"], to: "failed" },
  lose: { from: ["paused"], to: "failed" },
} as const satisfies Record<string, Transition>;

/** Name of a {@link Transition}. */
export type TransitionName = keyof typeof TRANSITIONS;

/**
 * Longest stay in each transient state, in milliseconds. A machine that stays
 * longer has met something that its own deadlines did not foresee.
 */
const LONGEST_STAY_MS: Readonly<Record<TransientState, number>> = {
  creating: 120_000,
  // Longer than the host's own deadline for a capture: gigabytes may have to reach the disk.
  pausing: 660_000,
  resuming: 150_000,
  killing: 90_000,
};

/** The longest stay in a state, in milliseconds, or `undefined` for a state that may last. */
export function longestStayMs(state: MachineState): number | undefined {
  return isTransient(state) ? LONGEST_STAY_MS[state] : undefined;
}

function isTransient(state: MachineState): state is TransientState {
  return Object.hasOwn(LONGEST_STAY_MS, state);
}
