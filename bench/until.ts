import { setTimeout as delay } from "node:timers/promises";

/** Waits for a fact that QEMU tells only whoever asks. */
export async function until(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask())) await delay(1);
}
