import type { SnapshotStore } from "./snapshot-store.js";

/** What something lies over, from the bottom up: the layers of its memory and of its disk. */
export interface Layers {
  readonly memoryLayers: readonly string[];
  readonly diskLayers: readonly string[];
}

const PREFIX = "l-";

/** Id of the one layer that holds what a snapshot and all those below it hold, but for the template's memory. */
export function flatLayerOf(id: string): string {
  return `${PREFIX}${id}`;
}

/** Id of the snapshot that a layer was made for by flattening; `undefined` for any other layer. */
export function flattenedBy(layerId: string): string | undefined {
  return layerId.startsWith(PREFIX) ? layerId.slice(PREFIX.length) : undefined;
}

/** How many layers there are, of memory or disk. */
export function depthOf({ memoryLayers, diskLayers }: Layers): number {
  return Math.max(memoryLayers.length, diskLayers.length);
}

/** The fewest layers that hold the same: as much of the lower ones as possible is one that was made of them. */
export async function shortenLayers(snapshots: SnapshotStore, layers: Layers): Promise<Layers> {
  const [bottom = "", ...above] = layers.memoryLayers;
  return {
    memoryLayers: [bottom, ...(await shorten(snapshots, above))],
    diskLayers: await shorten(snapshots, layers.diskLayers),
  };
}

async function shorten(snapshots: SnapshotStore, ids: readonly string[]): Promise<string[]> {
  for (let last = ids.length - 1; last > 0; last--) {
    const flat = flatLayerOf(ids[last] ?? "");
    if ((await snapshots.find(flat)) !== undefined) return [flat, ...ids.slice(last + 1)];
  }
  return [...ids];
}
