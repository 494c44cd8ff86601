import type { SnapshotInfo, SnapshotKind } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { printDone, toSeveral } from "../several.js";
import { bytes, duration, fields, hint, mebibytes, print, printJson, table } from "../terminal.js";

/** Options of `nullspace snapshot list`. */
export interface ListSnapshotsFlags extends CommonOptions {
  machine?: string;
  kind?: SnapshotKind;
  metadata?: Record<string, string>;
  limit?: number;
  cursor?: string;
}

/** `nullspace snapshot list` */
export async function listSnapshots(flags: ListSnapshotsFlags): Promise<void> {
  await using client = await openClient(flags);
  const { machine: machineId, kind, metadata, limit, cursor } = flags;
  const page = await client.snapshots.list({ machineId, kind, metadata, limit, cursor });
  if (flags.json) return printJson({ items: page.items, nextCursor: page.nextCursor ?? null });
  if (page.items.length === 0) {
    return hint("no snapshots; take one: nullspace machine snapshot <machine>");
  }
  const headings = ["ID", "KIND", "NAME", "MACHINE", "PARENT", "SIZE", "AGE"];
  print(table(headings, page.items.map(rowOf)));
  if (page.nextCursor !== undefined) hint(`more: add --cursor ${page.nextCursor}`);
}

/** `nullspace snapshot get` */
export async function getSnapshot(id: string, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const info = await client.snapshots.get(id);
  if (flags.json) return printJson(info);
  const labels = Object.entries(info.metadata).map(([name, value]) => `${name}=${value}`);
  print(
    fields([
      ["id", info.id],
      ["kind", info.kind],
      ["name", info.name],
      ["machine", info.machineId],
      ["parent", info.parentId],
      ["template", info.template],
      ["machine size", `${info.vcpus} vCPU, ${mebibytes(info.memoryMb)}`],
      ["disk", mebibytes(info.diskMb)],
      ["takes", bytes(info.sizeBytes)],
      ["stood still", `${info.stoppedMs.toFixed(1)} ms`],
      ["created", info.createdAt.toISOString()],
      ["metadata", labels.join(" ")],
    ]),
  );
}

/** `nullspace snapshot delete` */
export async function deleteSnapshots(ids: string[], flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const deleted = await toSeveral(ids, (id) => client.snapshots.delete(id));
  printDone("deleted", deleted, flags.json);
}

function rowOf(info: SnapshotInfo): string[] {
  return [
    info.id,
    info.kind,
    info.name ?? "",
    info.machineId,
    info.parentId ?? "-",
    bytes(info.sizeBytes),
    duration(Date.now() - info.createdAt.getTime()),
  ];
}
