import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "./log.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/** How {@link keepRunning} and {@link repeat} behave. */
export interface LoopOptions {
  /** For the log. */
  readonly name: string;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/**
 * Keeps a task running until the signal is aborted: when it fails or ends by
 * itself, it is started again, after pauses that grow from a second to a minute.
 */
export async function keepRunning(
  task: (signal: AbortSignal) => Promise<void>,
  { name, signal, log }: LoopOptions,
): Promise<void> {
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    const startedAt = Date.now();
    try {
      await task(signal);
    } catch (err) {
      if (!signal.aborted) log.error({ err, task: name }, "a background task failed");
    }
    if (Date.now() - startedAt > LONGEST_PAUSE_MS) pause = FIRST_PAUSE_MS;
    await pauseFor(pause, signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** Runs a task at a fixed interval until the signal is aborted. A round that fails is logged; the next one comes. */
export async function repeat(
  task: (signal: AbortSignal) => Promise<void>,
  intervalMs: number,
  { name, signal, log }: LoopOptions,
): Promise<void> {
  for (;;) {
    await pauseFor(intervalMs, signal);
    if (signal.aborted) return;
    try {
      await task(signal);
    } catch (err) {
      if (!signal.aborted) log.error({ err, task: name }, "a background task failed");
    }
  }
}

async function pauseFor(milliseconds: number, signal: AbortSignal): Promise<void> {
  // The only way to reject is the signal, and that is what the callers look at next.
  await sleep(milliseconds, undefined, { signal, ref: false }).catch(() => undefined);
}
