import type { ImageManifest } from "@nullspace/proto/host";

/** What a warm pool holds, as its operator says: "base=2", "base:latest=1" or "snapshot:<id>=1". */
export type PoolSettings = ReadonlyMap<string, number>;

const SNAPSHOT_PREFIX = "snapshot:";

/** The snapshot that an entry names, or `undefined` when it names a template. */
export function pooledSnapshot(entry: string): string | undefined {
  return entry.startsWith(SNAPSHOT_PREFIX) ? entry.slice(SNAPSHOT_PREFIX.length) : undefined;
}

/** The image that an entry's template has at the moment; `undefined` when there is none. */
export function pooledImage(
  entry: string,
  newestFirst: readonly ImageManifest[],
): ImageManifest | undefined {
  return newestFirst.find(({ name, tag }) => entry === name || entry === `${name}:${tag}`);
}
