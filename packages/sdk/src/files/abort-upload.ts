import type { AgentConnection } from "../connection.js";
import { NullspaceError } from "../errors.js";

/** How long a failed upload waits for being dropped, in milliseconds. */
const ABORT_TIMEOUT_MS = 5_000;

/** Drops what the machine has of an upload that failed. */
export async function abortUpload(agent: AgentConnection, uploadId: string): Promise<void> {
  try {
    await agent.unary(
      { requestTimeoutMs: ABORT_TIMEOUT_MS },
      (attempt) => agent.files.abortUpload({ uploadId }, attempt),
      { idempotent: true },
    );
  } catch (error) {
    // The caller is told why the upload failed; what is left over expires in the machine.
    if (!(error instanceof NullspaceError)) throw error;
  }
}
