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
 * | `kill`   | before `StopMachine` |
 * | `finish` | after `StopMachine` |
 * | `fail`   | before `StopMachine`, so that the console's tail is safe in the record |
 *
 * A crash between the two is mended by doing the action again: see the reconciler.
 */
export const TRANSITIONS = {
  start: { from: ["creating"], to: "running" },
  kill: {
    from: ["creating", "running", "pausing", "paused", "resuming", "failed"],
    to: "killing",
  },
  finish: { from: ["killing"], to: "killed" },
  fail: { from: ["creating", "running", "pausing", "resuming", "killing"], to: "failed" },
} as const satisfies Record<string, Transition>;

/** Name of a {@link Transition}. */
export type TransitionName = keyof typeof TRANSITIONS;

/**
 * Longest stay in each transient state, in milliseconds. A machine that stays
 * longer has met something that its own deadlines did not foresee.
 */
const LONGEST_STAY_MS: Readonly<Record<TransientState, number>> = {
  creating: 120_000,
  pausing: 120_000,
  resuming: 120_000,
  killing: 90_000,
};

/** The longest stay in a state, in milliseconds, or `undefined` for a state that may last. */
export function longestStayMs(state: MachineState): number | undefined {
  return isTransient(state) ? LONGEST_STAY_MS[state] : undefined;
}

function isTransient(state: MachineState): state is TransientState {
  return Object.hasOwn(LONGEST_STAY_MS, state);
}
