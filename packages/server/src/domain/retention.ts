/** Records deleted in one transaction. */
const BATCH = 500;
/** Batches of one round, so that a round after a long pause does not hold up everything else. */
const MAX_BATCHES = 20;

/**
 * Deletes records that are older than they are kept, a batch at a time.
 *
 * @param deleteBatch Deletes at most so many from before a moment, and tells how many it was.
 * @param keepMs How long a record is kept, in milliseconds.
 * @returns How many it deleted.
 */
export async function deleteExpiredRecords(
  deleteBatch: (before: Date, limit: number) => Promise<number>,
  keepMs: number,
): Promise<number> {
  const before = new Date(Date.now() - keepMs);
  let total = 0;
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const deleted = await deleteBatch(before, BATCH);
    total += deleted;
    if (deleted < BATCH) break;
  }
  return total;
}
