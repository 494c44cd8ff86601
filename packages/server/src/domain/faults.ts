import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Machine } from "./machine.js";

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
  const ended = machine.state === "killing" || machine.state === "killed";
  return new Fault(ErrorReason.MACHINE_NOT_RUNNING, `machine ${machine.id} is ${machine.state}`, {
    remedy: ended ? "Create another one." : "Wait until it is running.",
    details,
  });
}

/** The machine lives on a host that another server looks after. */
export function machineElsewhere(machine: Machine): Fault {
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
export function idempotencyConflict(machine: Machine): Fault {
  return new Fault(
    ErrorReason.IDEMPOTENCY_CONFLICT,
    `this idempotency key made machine ${machine.id} from another request`,
    {
      remedy: "Use a new key for every new request.",
      details: { machine_id: machine.id },
    },
  );
}
