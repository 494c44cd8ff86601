import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Snapshot } from "@nullspace/proto";

/** A snapshot and how many of those shown lie below it. */
export interface Descendant {
  snapshot: Snapshot;
  depth: number;
}

/** Each snapshot after the one it comes from; else newest first. */
export function lineage(snapshots: readonly Snapshot[]): Descendant[] {
  const known = new Set(snapshots.map(({ id }) => id));
  const children = Map.groupBy(snapshots, ({ parentId }) => (known.has(parentId) ? parentId : ""));
  const listed: Descendant[] = [];
  const visit = (parentId: string, depth: number) => {
    const born = (children.get(parentId) ?? []).toSorted((a, b) => timeOf(b) - timeOf(a));
    for (const snapshot of born) {
      listed.push({ snapshot, depth });
      visit(snapshot.id, depth + 1);
    }
  };
  visit("", 0);
  return listed;
}

function timeOf({ createdAt }: Snapshot): number {
  return createdAt === undefined ? 0 : timestampMs(createdAt);
}
