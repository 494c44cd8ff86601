import { type Machine, TimeoutAction } from "@nullspace/proto";
import type { ReactNode } from "react";
import { duration, mebibytes, dateAndTime, since, until } from "../../machines/format";
import { Labels } from "../../machines/labels";
import { MachineLink } from "../../machines/machine-link";
import { useNow } from "../../machines/use-now";

/** What is known of a machine. */
export function Facts({ machine }: { machine: Machine }) {
  const now = useNow();
  const { createdAt, startedAt, timeoutAt, endedAt, lastActiveAt, idleSeconds } = machine;
  const action = machine.onTimeout === TimeoutAction.PAUSE ? "paused" : "killed";
  return (
    <dl className="facts card">
      <Fact name="Template">{machine.template}</Fact>
      <Fact name="Size">
        {machine.vcpus} vCPU · {mebibytes(machine.memoryMb)} · {mebibytes(machine.diskMb)} disk
      </Fact>
      <Fact name="Working directory">
        <code>{machine.cwd || "/"}</code>
      </Fact>
      <Fact name="Created">
        {dateAndTime(createdAt)} <span className="quiet">({since(createdAt, now)} ago)</span>
      </Fact>
      {startedAt !== undefined && <Fact name="First ran">{dateAndTime(startedAt)}</Fact>}
      {lastActiveAt !== undefined && <Fact name="Last used">{since(lastActiveAt, now)} ago</Fact>}
      {endedAt !== undefined && <Fact name="Ended">{dateAndTime(endedAt)}</Fact>}
      {endedAt === undefined && (
        <Fact name="Time left">
          {timeoutAt === undefined
            ? "no deadline"
            : `${until(timeoutAt, now)}, then it is ${action}`}
        </Fact>
      )}
      {idleSeconds > 0 && (
        <Fact name="When idle">
          {action} after {duration(idleSeconds * 1000)} without use
        </Fact>
      )}
      {machine.deletePausedAfterSeconds > 0 && (
        <Fact name="When paused">
          killed after {duration(machine.deletePausedAfterSeconds * 1000)}
        </Fact>
      )}
      {machine.parentId !== "" && (
        <Fact name="Parent">
          <MachineLink id={machine.parentId} />
        </Fact>
      )}
      {machine.snapshotId !== "" && (
        <Fact name="Started from">
          <code>{machine.snapshotId}</code>
        </Fact>
      )}
      {machine.pausedSnapshotId !== "" && (
        <Fact name="Kept in">
          <code>{machine.pausedSnapshotId}</code>
        </Fact>
      )}
      {machine.resumedAs !== "" && (
        <Fact name="Goes on as">
          <MachineLink id={machine.resumedAs} />
        </Fact>
      )}
      {Object.keys(machine.metadata).length > 0 && (
        <Fact name="Labels">
          <Labels metadata={machine.metadata} />
        </Fact>
      )}
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
