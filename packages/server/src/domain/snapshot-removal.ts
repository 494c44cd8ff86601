import { isDiskFull } from "./failure.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import { SharedTasks } from "./shared-tasks.js";
import type { SnapshotStore } from "./snapshot.js";

/** What {@link SnapshotRemoval} needs. */
export interface SnapshotRemovalOptions {
  readonly host: HostClient;
  readonly store: SnapshotStore;
  /** Told when an event may have been written. */
  readonly onEvent: () => void;
}

/** Removes snapshots: hidden first, then gone from the host, then from the records. */
export class SnapshotRemoval implements AsyncDisposable {
  readonly #options: SnapshotRemovalOptions;
  readonly #removals = new SharedTasks<void>("finish");

  constructor(options: SnapshotRemovalOptions) {
    this.#options = options;
  }

  /**
   * Removes a snapshot in whatever state it is. One that is gone is fine; a removal
   * that was cut off is done again.
   *
   * @param cause For its event.
   */
  async remove(id: string, cause: string, signal?: AbortSignal): Promise<void> {
    const { store, onEvent } = this.#options;
    await this.#removals.run(
      id,
      async (stop) => {
        try {
          await store.beginDelete(id);
        } catch (error) {
          if (!isDiskFull(error)) throw error;
          // Its bytes have to make the room for that. Whoever starts from it meanwhile finds nothing.
        }
        await this.drop(id, stop);
        await store.remove(id, new Date(), { cause });
        onEvent();
      },
      signal,
    );
  }

  /** Has the host drop a snapshot that no record tells of. */
  async drop(id: string, signal?: AbortSignal): Promise<void> {
    await this.#options.host.deleteSnapshot(
      { snapshotId: id },
      { timeoutMs: HOST_DEADLINES_MS.deleteSnapshot, ...(signal && { signal }) },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#removals[Symbol.asyncDispose]();
  }
}
