import { type Nullspace, PermissionError } from "@nullspace/sdk";

/**
 * Asks the server whether it takes the key of a client. One that may not list machines is a good key
 * all the same.
 *
 * @throws AuthError when it does not
 */
export async function checkKey(client: Nullspace, requestTimeoutMs?: number): Promise<void> {
  try {
    await client.machines.list({ limit: 1, requestTimeoutMs });
  } catch (error) {
    if (!(error instanceof PermissionError)) throw error;
  }
}
