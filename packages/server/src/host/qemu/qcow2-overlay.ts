const MIB = 1024 * 1024;
const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 1 << CLUSTER_BITS;
const HEADER_BYTES = 104;
const REFCOUNT_ORDER_16_BIT = 4;
const BACKING_FORMAT_EXTENSION = 0xe2792aca;
/** One entry of the first table maps a cluster full of 8-byte entries of the second. */
const BYTES_PER_L1_ENTRY = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;

/** The disk that an overlay lies over. */
export interface Backing {
  /** As seen from the folder of the overlay. */
  path: string;
  format: "raw" | "qcow2";
}

/**
 * The bytes of a qcow2 file that holds nothing yet but its size and what it lies
 * over. Starting `qemu-img` for this takes longer than the rest of the files of
 * a machine together.
 *
 * @param sizeMb - size of the disk in MiB, at least that of the backing disk.
 * @see docs/interop/qcow2.txt of QEMU
 */
export function emptyOverlay(sizeMb: number, backing: Backing): Buffer {
  const size = sizeMb * MIB;
  const l1Entries = Math.ceil(size / BYTES_PER_L1_ENTRY);
  const l1Clusters = Math.ceil((l1Entries * 8) / CLUSTER_BYTES);
  const [refcountTable, refcountBlock, l1Table] = [1, 2, 3];
  const clusters = l1Table + l1Clusters;
  const file = Buffer.alloc(clusters * CLUSTER_BYTES);

  const name = Buffer.from(backing.path);
  const format = Buffer.from(backing.format);
  const nameOffset = HEADER_BYTES + 8 + Math.ceil(format.length / 8) * 8 + 8;

  file.write("QFI\xfb", 0, "latin1");
  file.writeUInt32BE(3, 4);
  file.writeBigUInt64BE(BigInt(nameOffset), 8);
  file.writeUInt32BE(name.length, 16);
  file.writeUInt32BE(CLUSTER_BITS, 20);
  file.writeBigUInt64BE(BigInt(size), 24);
  file.writeUInt32BE(l1Entries, 36);
  file.writeBigUInt64BE(BigInt(l1Table * CLUSTER_BYTES), 40);
  file.writeBigUInt64BE(BigInt(refcountTable * CLUSTER_BYTES), 48);
  file.writeUInt32BE(1, 56);
  file.writeUInt32BE(REFCOUNT_ORDER_16_BIT, 96);
  file.writeUInt32BE(HEADER_BYTES, 100);

  // Extensions end with one of type 0 and length 0: the zeros that are there already.
  file.writeUInt32BE(BACKING_FORMAT_EXTENSION, HEADER_BYTES);
  file.writeUInt32BE(format.length, HEADER_BYTES + 4);
  format.copy(file, HEADER_BYTES + 8);
  name.copy(file, nameOffset);

  file.writeBigUInt64BE(BigInt(refcountBlock * CLUSTER_BYTES), refcountTable * CLUSTER_BYTES);
  for (let cluster = 0; cluster < clusters; cluster++) {
    file.writeUInt16BE(1, refcountBlock * CLUSTER_BYTES + cluster * 2);
  }
  return file;
}
