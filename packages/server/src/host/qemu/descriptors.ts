/**
 * The descriptors that QEMU is started with. It gets its files open rather than
 * by name: it needs no right to any folder but the one of its sockets, and what
 * was verified is what it uses.
 */
export const DESCRIPTORS = {
  /** Saved state of the devices, to be loaded. */
  devices: 3,
  /** The monitor's connection to whoever started it. */
  monitor: 4,
  /** The guest's whole memory; of a restored one, the image at the bottom of its layers. */
  memory: 5,
  /** The machine's own disk, which it writes. */
  disk: 6,
  /** The image's disk, below all others. */
  rootfs: 7,
  agentDisk: 8,
  console: 9,
  /** Which pages of memory lie in which layer; see native/qemu-memory.c. */
  memoryTable: 11,
} as const;

export type DescriptorName = keyof typeof DESCRIPTORS;

export const DESCRIPTOR_NAMES = [
  "devices",
  "monitor",
  "memory",
  "disk",
  "rootfs",
  "agentDisk",
  "console",
  "memoryTable",
] as const satisfies DescriptorName[];

/** Layers of memory follow each other from here on, and layers of the disk follow those. */
export const FIRST_LAYER = 12;

/** Where `migrate-incoming` reads the state of the devices from. */
export const RESTORE_URI = `fd:${DESCRIPTORS.devices}`;
