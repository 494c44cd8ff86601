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
  memory: 5,
  /** The machine's own disk, which it writes. */
  disk: 6,
  /** The snapshot's disk, below the machine's. */
  snapshotDisk: 7,
  /** The image's disk, below all others. */
  rootfs: 8,
  agentDisk: 9,
  console: 10,
} as const;

export type DescriptorName = keyof typeof DESCRIPTORS;

export const DESCRIPTOR_NAMES = [
  "devices",
  "monitor",
  "memory",
  "disk",
  "snapshotDisk",
  "rootfs",
  "agentDisk",
  "console",
] as const satisfies DescriptorName[];

/** Where `migrate-incoming` reads the state of the devices from. */
export const RESTORE_URI = `fd:${DESCRIPTORS.devices}`;
