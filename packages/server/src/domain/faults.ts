import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Machine, MachineState } from "./machine.js";

/** There is no such machine, or its record has been deleted since. */
export function machineNotFound(id: string): Fault {
  const shown = JSON.stringify(id.slice(0, 80));
  return new Fault(ErrorReason.MACHINE_NOT_FOUND, `no machine ${shown}`, {
    remedy: "List the machines there are; records of ended ones are deleted after some days.",
    details: { machine_id: id.slice(0, 80) },
  });
}

/** The machine is not in a state in which it can be used. */
export function machineNotRunning(machine: Machine): Fault {
  const details = { machine_id: machine.id, state: machine.state };
  if (machine.state === "failed") {
    return new Fault(ErrorReason.MACHINE_DIED, `machine ${machine.id} has failed`, {
      remedy:
        "Create another one; what went wrong is in details.failure and in the machine's record.",
      details: { ...details, failure: machine.failure },
    });
  }
  return new Fault(ErrorReason.MACHINE_NOT_RUNNING, `machine ${machine.id} is ${machine.state}`, {
    remedy: REMEDIES[machine.state] ?? "Wait until it is running.",
    details: machine.state === "paused" ? { ...details, resumed_as: machine.resumedAs } : details,
  });
}

const REMEDIES: Partial<Record<MachineState, string>> = {
  pausing: "Connect to it: that resumes it when it is paused.",
  paused: "Connect to it: that resumes it, or finds the machine that went on from it.",
  resuming: "Connect to it: that gives the machine that goes on from it.",
  killing: "Create another one.",
  killed: "Create another one.",
};

/** The machine lives on a host that another server looks after. */
export function machineElsewhere(machine: Pick<Machine, "id" | "hostId">): Fault {
  return new Fault(
    ErrorReason.AGENT_UNREACHABLE,
    `machine ${machine.id} is on host ${machine.hostId}, which this server does not reach`,
    {
      remedy: "Send the call to the server of that host.",
      details: { machine_id: machine.id, host_id: machine.hostId },
    },
  );
}

/** Two different requests came under one idempotency key. */
export function idempotencyConflict(kind: "machine" | "snapshot", id: string): Fault {
  return new Fault(
    ErrorReason.IDEMPOTENCY_CONFLICT,
    `this idempotency key made ${kind} ${id} from another request`,
    {
      remedy: "Use a new key for every new request.",
      details: { [`${kind}_id`]: id },
    },
  );
}

/** There is no such snapshot, or it has been deleted. */
export function snapshotNotFound(id: string): Fault {
  return new Fault(
    ErrorReason.SNAPSHOT_NOT_FOUND,
    `no snapshot ${JSON.stringify(id.slice(0, 80))}`,
    {
      remedy: "List the snapshots there are.",
      details: { snapshot_id: id.slice(0, 80) },
    },
  );
}

/** A paused machine's snapshot was resumed, and what went on from it has ended. */
export function snapshotConsumed(alias: Machine): Fault {
  return new Fault(
    ErrorReason.SNAPSHOT_CONSUMED,
    `machine ${alias.id} was resumed as ${alias.resumedAs}, which has ended`,
    {
      remedy: "Create another machine; to start several from one instant, use createSnapshot.",
      details: {
        machine_id: alias.id,
        snapshot_id: alias.pausedSnapshotId,
        resumed_as: alias.resumedAs,
      },
    },
  );
}

/** A machine could not be saved, and goes on. */
export function captureFailed(machineId: string, cause: string, error: unknown): Fault {
  return new Fault(
    ErrorReason.CAPTURE_FAILED,
    `machine ${machineId} could not be saved and goes on: ${cause}`,
    { remedy: "Try again.", details: { machine_id: machineId }, cause: error },
  );
}

/** The machine was killed while something was being done with it. */
export function killedMeanwhile(id: string): Fault {
  return new Fault(ErrorReason.MACHINE_NOT_RUNNING, `machine ${id} was killed meanwhile`, {
    remedy: "Create another one.",
    details: { machine_id: id },
  });
}

/** There is no such project. */
export function projectNotFound(id: string): Fault {
  const shown = id.slice(0, 80);
  return new Fault(ErrorReason.PROJECT_NOT_FOUND, `no project ${JSON.stringify(shown)}`, {
    remedy: "List the projects there are: nullspace project list.",
    details: { project: shown },
  });
}
