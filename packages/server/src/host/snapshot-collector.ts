import { readdir } from "node:fs/promises";
import { isTemporaryName, removeTree } from "./durable-files.js";
import type { HostHome } from "./home.js";
import type { SnapshotStore } from "./snapshot-store.js";

/** Snapshots of templates are made again only by a boot, so they stay. */
export function isTemplateSnapshot(id: string): boolean {
  return id.startsWith("t-");
}

/** What a machine, running or about to, needs of snapshots. */
export interface Needs {
  readonly memoryLayers: readonly string[];
  readonly diskLayers: readonly string[];
}

/**
 * Removes the snapshots that nobody needs: what is deleted, and what was never finished,
 * unless a machine or another snapshot lies over it. Counted anew from what is on the
 * disk each time, so that no count can go wrong.
 */
export class SnapshotCollector {
  readonly #home: HostHome;
  readonly #snapshots: SnapshotStore;
  readonly #needs: () => Iterable<Needs>;
  /** Snapshots that are being made, or that a machine is being started from. */
  readonly #pinned = new Map<string, number>();
  #running: Promise<string[]> | undefined;

  /** @param needs - of every machine of this host. */
  constructor(home: HostHome, snapshots: SnapshotStore, needs: () => Iterable<Needs>) {
    this.#home = home;
    this.#snapshots = snapshots;
    this.#needs = needs;
  }

  /** Keeps a snapshot, whatever else is known of it, until the pin is disposed of. */
  pin(id: string): Disposable {
    this.#pinned.set(id, (this.#pinned.get(id) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#pinned.get(id) ?? 1) - 1;
        if (left === 0) this.#pinned.delete(id);
        else this.#pinned.set(id, left);
      },
    };
  }

  /** Marks a snapshot deleted, and removes what nobody needs any more. One that is gone already is fine. */
  async delete(id: string): Promise<void> {
    const manifest = await this.#snapshots.find(id);
    if (manifest !== undefined && !manifest.deleted) {
      await this.#snapshots.write({ ...manifest, deleted: true }, { durable: true });
    }
    await this.collect();
  }

  /** Removes what nobody needs. */
  async collect(): Promise<void> {
    // One at a time, and never with the answer of one that began before something changed.
    await this.#running;
    this.#running = this.#collect();
    await this.#running;
  }

  /** Ids of what nobody needs. */
  async garbage(): Promise<string[]> {
    const manifests = await this.#snapshots.list();
    const needed = new Set(this.#pinned.keys());
    const need = ({ memoryLayers, diskLayers }: Needs) => {
      for (const id of [...memoryLayers, ...diskLayers]) needed.add(id);
    };
    for (const needs of this.#needs()) need(needs);
    for (const manifest of manifests) {
      const isPinned = this.#pinned.has(manifest.id);
      if (manifest.deleted && !isPinned) continue;
      needed.add(manifest.id);
      need(manifest);
    }
    const names = await readdir(this.#home.snapshots);
    return names.filter(
      (name) => !isTemporaryName(name) && !needed.has(name) && !isTemplateSnapshot(name),
    );
  }

  async #collect(): Promise<string[]> {
    const garbage = await this.garbage();
    // Pinned since it was looked at: whoever did so found it before, and has it open.
    const ids = garbage.filter((id) => !this.#pinned.has(id));
    await Promise.all(ids.map((id) => removeTree(this.#home.snapshot(id))));
    return ids;
  }
}
