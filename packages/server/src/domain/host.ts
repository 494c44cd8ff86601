import type { Client } from "@connectrpc/connect";
import type { HostService } from "@nullspace/proto/host";

/** The host as the domain sees it: in the same process or across a network, it makes no difference. */
export type HostClient = Client<typeof HostService>;

/**
 * Deadlines of calls to the host, in milliseconds: far above what a healthy
 * host needs, so that only a broken one meets them.
 */
export const HOST_DEADLINES_MS = {
  getHost: 30_000,
  listMachines: 30_000,
  listSnapshots: 30_000,
  deleteSnapshot: 60_000,
  /** Saves gigabytes durably, perhaps to a slow disk. */
  captureMachine: 600_000,
  startMachine: 90_000,
  stopMachine: 60_000,
  updateEgress: 60_000,
  /** Boots a guest, perhaps under emulation on a busy machine. */
  prepareTemplate: 600_000,
} as const;
