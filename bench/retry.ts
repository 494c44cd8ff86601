import { NullspaceError } from "@nullspace/sdk";

const ATTEMPTS = 3;

/**
 * Does it again when it fails in a way that may pass: on a computer with more to do than it can, a
 * guest may not confirm its clock in time. Only the time of the attempt that succeeds counts.
 *
 * @param note - told of every failure.
 */
export async function retrying<T>(work: () => Promise<T>, note: (text: string) => void) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof NullspaceError && error.retryable) || attempt === ATTEMPTS)
        throw error;
      note(`again, because it failed: ${error.message}`);
    }
  }
}
