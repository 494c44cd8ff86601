import type { Admission, ProjectUsage } from "../domain/project.js";
import type { Database } from "./database.js";
import { toLimits } from "./project-limits.js";

/** States in which a machine holds memory and processors. */
const HOLDING = ["creating", "running", "pausing"] as const;

/**
 * Asks whether a project may have what was just added to it.
 *
 * @throws Fault QUOTA_EXCEEDED, which undoes the transaction.
 */
export async function admit(
  transaction: Database,
  projectId: string,
  { applies, check }: Admission,
): Promise<void> {
  const { limits } = await transaction
    .selectFrom("projects")
    .select("limits")
    .where("id", "=", projectId)
    .executeTakeFirstOrThrow();
  const own = toLimits(limits);
  if (!applies(own)) return;
  // Holds the row until the end: whoever comes at the same time sees what this one has added.
  await transaction
    .updateTable("projects")
    .set((eb) => ({ limits: eb.ref("limits") }))
    .where("id", "=", projectId)
    .execute();
  check(own, await usageOf(transaction, projectId));
}

/** What a project holds. */
export async function usageOf(database: Database, projectId: string): Promise<ProjectUsage> {
  const machines = await database
    .selectFrom("machines")
    .select((eb) => [
      eb.fn.countAll().as("count"),
      eb.fn.sum("vcpus").as("vcpus"),
      eb.fn.sum("memory_mb").as("memory_mb"),
    ])
    .where("project_id", "=", projectId)
    .where((eb) =>
      eb.or([
        eb("state", "in", HOLDING),
        // What it held it holds until it is killed.
        eb("state", "=", "killing").and("prior_state", "in", HOLDING),
      ]),
    )
    .executeTakeFirstOrThrow();
  const snapshots = await database
    .selectFrom("snapshots")
    .select((eb) => [eb.fn.countAll().as("count"), eb.fn.sum("size_bytes").as("size_bytes")])
    .where("project_id", "=", projectId)
    .where("state", "in", ["creating", "ready"])
    .executeTakeFirstOrThrow();
  const ssh = await database
    .selectFrom("ssh_connections")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("project_id", "=", projectId)
    .executeTakeFirstOrThrow();
  return {
    machines: Number(machines.count),
    vcpus: Number(machines.vcpus),
    memoryMb: Number(machines.memory_mb),
    snapshots: Number(snapshots.count),
    snapshotBytes: Number(snapshots.size_bytes),
    sshConnections: Number(ssh.count),
  };
}
