import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Admission, ProjectLimits, ProjectUsage } from "./project.js";

/** When to try again what a quota refused, in milliseconds: nobody knows when something ends. */
const RETRY_AFTER_MS = 30_000;
const MIB = 1 << 20;

/** A quota of a project: its name among the limits, and what counts towards it. */
interface Quota {
  readonly limit: keyof ProjectLimits;
  readonly used: (usage: ProjectUsage) => number;
  readonly unit: string;
}

const REMEDY =
  "Kill machines or delete snapshots that are no longer needed, or have an operator raise the limit.";
const SSH_REMEDY =
  "Close some, let several sessions share one with ControlMaster, or have an operator raise the limit.";

const MACHINES: readonly Quota[] = [
  { limit: "machines", used: ({ machines }) => machines, unit: "machines" },
  { limit: "vcpus", used: ({ vcpus }) => vcpus, unit: "virtual CPUs" },
  {
    limit: "memoryMb",
    used: ({ memoryMb }) => memoryMb,
    unit: "MiB of memory",
  },
];

const SNAPSHOTS: readonly Quota[] = [
  {
    limit: "snapshots",
    used: ({ snapshots }) => snapshots,
    unit: "snapshots",
  },
  // How large the next one gets is not known: the last one may go beyond.
  {
    limit: "snapshotMb",
    used: ({ snapshotBytes }) => Math.floor(snapshotBytes / MIB) + 1,
    unit: "MiB of snapshots",
  },
];

const SSH_CONNECTIONS: readonly Quota[] = [
  {
    limit: "sshConnections",
    used: ({ sshConnections }) => sshConnections,
    unit: "SSH connections",
  },
];

/** What projects may hold: their own limits, and the server's where they have none. */
export class Quotas {
  /** For a new machine. */
  readonly machines: Admission;
  /** For a new snapshot that is not of a pause. */
  readonly snapshots: Admission;
  /** For a new connection by SSH. */
  readonly sshConnections: Admission;
  readonly #defaults: ProjectLimits;

  constructor(defaults: ProjectLimits) {
    this.#defaults = defaults;
    this.machines = this.#admission(MACHINES, REMEDY);
    this.snapshots = this.#admission(SNAPSHOTS, REMEDY);
    this.sshConnections = this.#admission(SSH_CONNECTIONS, SSH_REMEDY);
  }

  /** The limits that count for a project. */
  effective(own: ProjectLimits): ProjectLimits {
    const given = Object.entries(own).filter(([, value]) => value !== undefined);
    return { ...this.#defaults, ...Object.fromEntries<number | undefined>(given) };
  }

  #admission(quotas: readonly Quota[], remedy: string): Admission {
    return {
      applies: (own) => quotas.some(({ limit }) => (this.effective(own)[limit] ?? 0) > 0),
      check: (own, usage) => {
        const limits = this.effective(own);
        for (const quota of quotas) {
          const most = limits[quota.limit] ?? 0;
          if (most > 0 && quota.used(usage) > most) throw exceeded(quota, most, remedy);
        }
      },
    };
  }
}

function exceeded({ limit, unit }: Quota, most: number, remedy: string): Fault {
  return new Fault(ErrorReason.QUOTA_EXCEEDED, `the project may have ${most} ${unit} at a time`, {
    remedy,
    details: { limit, most: String(most) },
    retryAfterMs: RETRY_AFTER_MS,
  });
}
