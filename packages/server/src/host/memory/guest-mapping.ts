/**
 * Where the one stretch of memory of this size begins that is mapped from these files alone.
 * Their devices are not compared: for some file systems the kernel tells another here than `stat` does.
 *
 * @param maps - `/proc/<pid>/maps` of a guest's QEMU.
 * @param bytes - size of the guest's memory.
 * @param inodes - of the files that it is mapped from.
 * @throws Error when it is not there.
 */
export function findMemory(maps: string, bytes: number, inodes: readonly bigint[]): number {
  const known = new Set(inodes.map(String));
  let begin = 0;
  let end = 0;
  for (const line of maps.split("\n")) {
    const [range = "", , , , inode = ""] = line.split(/ +/);
    const [from = 0, to = 0] = range.split("-").map((text) => Number.parseInt(text, 16));
    if (!known.has(inode)) {
      begin = end = 0;
      continue;
    }
    if (from !== end) begin = from;
    end = to;
    if (end - begin === bytes) return begin;
  }
  throw new Error("the guest's memory is not mapped as it was started with");
}
