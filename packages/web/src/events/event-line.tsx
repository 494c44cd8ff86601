import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Event, EventType, MachineState } from "@nullspace/proto";
import { StateBadge } from "../machines/state-badge";

const WHAT: Record<EventType, string> = {
  [EventType.UNSPECIFIED]: "something happened",
  [EventType.MACHINE_STATE]: "state",
  [EventType.MACHINE_TIMEOUT_SET]: "timeout set",
  [EventType.MACHINE_EGRESS_SET]: "egress set",
  [EventType.MACHINE_FORKED]: "forked",
  [EventType.SNAPSHOT_CREATED]: "snapshot taken",
  [EventType.SNAPSHOT_DELETED]: "snapshot deleted",
  [EventType.SSH_ACCESS_CREATED]: "SSH access granted",
  [EventType.SSH_ACCESS_REVOKED]: "SSH access revoked",
  [EventType.SSH_CONNECTED]: "SSH connected",
  [EventType.SSH_DISCONNECTED]: "SSH disconnected",
};

/** One event: when, of what, what, and why. */
export function EventLine({ event }: { event: Event }) {
  const { createdAt, machineId, snapshotId, toState, cause, timingsMs, failure } = event;
  const at = createdAt && timestampDate(createdAt);
  const timings = Object.entries(timingsMs).map(([phase, ms]) => `${phase} ${ms}`);
  return (
    <li>
      <time className="quiet number" dateTime={at?.toISOString()}>
        {at?.toLocaleTimeString()}
      </time>
      <code className="id">{machineId}</code>
      {toState === MachineState.UNSPECIFIED ? (
        <span>
          {WHAT[event.type]} {snapshotId !== "" && <code>{snapshotId}</code>}
        </span>
      ) : (
        <StateBadge state={toState} />
      )}
      <span className="quiet fine">{[cause, ...timings].join(" · ")}</span>
      {failure !== "" && <span className="failure">{failure.split("\n", 1)[0]}</span>}
    </li>
  );
}
