import type { MachineStore } from "./machine-store.js";

/** Records deleted in one transaction. */
const BATCH = 500;
/** Batches of one round, so that a round after a long pause does not hold up everything else. */
const MAX_BATCHES = 20;

/**
 * Deletes the records of machines that ended long ago.
 *
 * @param keepMs How long a record outlives its machine, in milliseconds.
 * @returns How many it deleted.
 */
export async function deleteExpiredRecords(store: MachineStore, keepMs: number): Promise<number> {
  const before = new Date(Date.now() - keepMs);
  let total = 0;
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const deleted = await store.deleteEnded(before, BATCH);
    total += deleted;
    if (deleted < BATCH) break;
  }
  return total;
}
