import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { hasCode, isTemporaryName, removeTree } from "./durable-files.js";
import { flattenedBy, type Layers } from "./flat-layers.js";
import type { HostHome } from "./home.js";
import type { SnapshotFile, SnapshotStore } from "./snapshot-store.js";
import { storageFault } from "./storage-fault.js";

/** Files that only a start from the snapshot, or from one that lies over it, takes. */
const NOT_OF_THE_DISK = ["memory.pages", "memory.map", "devices"] as const satisfies SnapshotFile[];

/** Snapshots of templates are made again only by a boot, so they stay. */
export function isTemplateSnapshot(id: string): boolean {
  return id.startsWith("t-");
}

/** What a machine, running or about to, needs of snapshots. */
export type Needs = Layers;

/** Keeps a snapshot, whatever else is known of it, until it is disposed of. */
export interface Pin extends Disposable {
  /**
   * Keeps these layers as well: those that a machine is being started over, since the
   * snapshot may meanwhile be flattened to others.
   */
  readonly keep: (layers: Needs) => void;
}

/**
 * Removes the snapshots that nobody needs: what is deleted, and what was never finished,
 * unless a machine or another snapshot lies over it; then of a deleted one the disk alone
 * stays, if nobody needs its memory. Counted anew from what is on the
 * disk each time, so that no count can go wrong.
 */
export class SnapshotCollector {
  readonly #home: HostHome;
  readonly #snapshots: SnapshotStore;
  readonly #needs: () => Iterable<Needs>;
  /** Snapshots that are being made, or that a machine is being started from. */
  readonly #pins = new Set<{ id: string; layers: Needs | undefined }>();
  #running: Promise<string[]> | undefined;

  /** @param needs - of every machine of this host. */
  constructor(home: HostHome, snapshots: SnapshotStore, needs: () => Iterable<Needs>) {
    this.#home = home;
    this.#snapshots = snapshots;
    this.#needs = needs;
  }

  /** Keeps a snapshot until the pin is disposed of. */
  pin(id: string): Pin {
    const pin: { id: string; layers: Needs | undefined } = { id, layers: undefined };
    this.#pins.add(pin);
    return {
      keep: (layers) => (pin.layers = layers),
      [Symbol.dispose]: () => this.#pins.delete(pin),
    };
  }

  /** Marks a snapshot deleted, and removes what nobody needs any more. One that is gone already is fine. */
  async delete(id: string): Promise<void> {
    const manifest = await this.#snapshots.find(id);
    if (manifest !== undefined && !manifest.deleted) {
      try {
        await this.#snapshots.write({ ...manifest, deleted: true }, { durable: true });
      } catch (error) {
        // On a full disk there is no room for the mark, and no need for it if nobody lies over it.
        if (!hasCode(error, "ENOSPC", "EDQUOT")) throw error;
        const isFree = (await this.garbage(id)).includes(id) && !this.#isPinned(id);
        if (!isFree) throw storageFault(error, this.#home.path);
        await removeTree(this.#home.snapshot(id));
      }
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

  /**
   * Ids of what nobody needs.
   *
   * @param deleted - one that is as good as deleted.
   */
  async garbage(deleted?: string): Promise<string[]> {
    return (await this.#look(deleted)).garbage;
  }

  async #look(deleted?: string): Promise<{ garbage: string[]; onlyDisks: string[] }> {
    const manifests = await this.#snapshots.list();
    const whole = new Set([...this.#pins].map((pin) => pin.id));
    const disks = new Set<string>();
    const need = ({ memoryLayers, diskLayers }: Needs) => {
      for (const id of memoryLayers) whole.add(id);
      for (const id of diskLayers) disks.add(id);
    };
    for (const { layers } of this.#pins) if (layers !== undefined) need(layers);
    for (const needs of this.#needs()) need(needs);
    for (const manifest of manifests) {
      const isGone = manifest.deleted || manifest.id === deleted;
      if (isGone && !this.#isPinned(manifest.id)) continue;
      whole.add(manifest.id);
      need(manifest);
    }
    const names = (await readdir(this.#home.snapshots)).filter(
      (name) => !isTemporaryName(name) && !holds(whole, name) && !isTemplateSnapshot(name),
    );
    return {
      garbage: names.filter((name) => !holds(disks, name)),
      onlyDisks: names.filter((name) => holds(disks, name)),
    };
  }

  #isPinned(id: string): boolean {
    const isIn = ({ memoryLayers, diskLayers }: Needs) =>
      [...memoryLayers, ...diskLayers].includes(id);
    return [...this.#pins].some((pin) => pin.id === id || (pin.layers && isIn(pin.layers)));
  }

  async #collect(): Promise<string[]> {
    const { garbage, onlyDisks } = await this.#look();
    // Pinned since it was looked at: whoever did so found it before, and has it open.
    const isFree = (id: string) => !this.#isPinned(id);
    const ids = garbage.filter(isFree);
    await Promise.all(ids.map((id) => removeTree(this.#home.snapshot(id))));
    // A machine that was captured goes on over its sealed disk, whatever becomes of the snapshot.
    for (const id of onlyDisks.filter(isFree)) {
      for (const name of NOT_OF_THE_DISK) {
        await rm(join(this.#home.snapshot(id), name), { force: true });
      }
    }
    return ids;
  }
}

/** What is captured of a machine lies over what its layers were flattened to, so that stays with them. */
function holds(needed: ReadonlySet<string>, name: string): boolean {
  return needed.has(name) || needed.has(flattenedBy(name) ?? "");
}
