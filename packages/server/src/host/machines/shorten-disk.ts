import { link, rm } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { MachineManifestSchema } from "@nullspace/proto/host";
import type { Deadline } from "../deadline.js";
import { flatLayerOf } from "../flat-layers.js";
import type { HostHome } from "../home.js";
import { diskNode, flatDisk, isLayer, reopenedDisk } from "../qemu/command-line.js";
import type { AdoptedMachine } from "./hosted-machine.js";

/**
 * Has a running machine read the one disk that many were flattened to, in place of the many:
 * each capture adds another. The machine does not notice. If it is cut off, the record names
 * the many, which hold the same.
 *
 * @param snapshotId - the capture that the disks were flattened for; nothing is done unless
 *   this server took it of this machine.
 */
export async function shortenDisk(
  home: HostHome,
  adopted: AdoptedMachine,
  snapshotId: string,
  deadline: Deadline,
): Promise<void> {
  const { machine, manifest } = adopted;
  const { qmp } = machine.qemu;
  const at = manifest.diskLayers.indexOf(snapshotId);
  const lowest = machine.overlays.get(snapshotId);
  if (at < 1 || lowest === undefined) return;
  const above = manifest.diskLayers.slice(at + 1);
  const kept = [lowest, ...above.map((id) => machine.overlays.get(id))];
  if (kept.includes(undefined)) return;

  const flatLayer = flatLayerOf(snapshotId);
  const flat = lowest.replace("disk", "flat");
  const file = `${flat}.qcow2`;
  const path = machine.directory.disk(file);
  await rm(path, { force: true });
  // QEMU reaches nothing but its own folder.
  await link(join(home.snapshot(flatLayer), "disk.qcow2"), path);
  await qmp.execute("blockdev-add", flatDisk(flat, file), deadline);
  try {
    const isSealed = lowest !== diskNode(manifest.diskFile);
    const options = [reopenedDisk(lowest, flat, isSealed)];
    await qmp.execute("blockdev-reopen", { options }, deadline);
  } catch (error) {
    await qmp.execute("blockdev-del", { "node-name": flat });
    await rm(path);
    throw error;
  }
  const record = create(MachineManifestSchema, { ...manifest, diskLayers: [flatLayer, ...above] });
  await machine.directory.writeManifest(record);
  adopted.manifest = record;
  for (const id of manifest.diskLayers.slice(0, at + 1)) machine.overlays.delete(id);
  const nodes = await qmp.execute("query-named-block-nodes", { flat: true }, deadline);
  const unused = nodes.filter((node) => isLayer(node) && node !== flat && !kept.includes(node));
  for (const node of fromTheTop(unused)) {
    await qmp.execute("blockdev-del", { "node-name": node }, deadline);
    if (node.startsWith("flat")) await rm(machine.directory.disk(`${node}.qcow2`));
  }
}

/** What lies over another can go, and then the other. */
function fromTheTop(nodes: readonly string[]): string[] {
  const order = ["disk", "flat", "layer"];
  const keyOf = (node: string) => {
    const [kind = "", number] = node.split("-");
    return [order.indexOf(kind), -Number(number)] as const;
  };
  return nodes.toSorted((a, b) => {
    const [kindA, numberA] = keyOf(a);
    const [kindB, numberB] = keyOf(b);
    return kindA - kindB || numberA - numberB;
  });
}
