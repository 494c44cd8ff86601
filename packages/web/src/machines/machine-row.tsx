import { timestampDate, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Machine, MachineState } from "@nullspace/proto";
import { mebibytes, since, until } from "./format";
import { Labels } from "./labels";
import { MachineActions } from "./machine-actions";
import { MachineLink } from "./machine-link";
import { StateBadge } from "./state-badge";

/** What is left is told with emphasis when it is less than this. */
const SOON_MS = 60_000;

interface Props {
  machine: Machine;
  now: number;
  onKill: (machine: Machine) => void;
}

/** One machine of the table. */
export function MachineRow({ machine, now, onKill }: Props) {
  const { timeoutAt, createdAt, endedAt } = machine;
  const ended = endedAt !== undefined;
  const soon = !ended && timeoutAt !== undefined && timestampMs(timeoutAt) - now < SOON_MS;
  return (
    <tr>
      <th scope="row">
        <MachineLink id={machine.id} />
        <Labels metadata={machine.metadata} />
        {machine.resumedAs !== "" && (
          <p className="quiet fine">
            goes on as <MachineLink id={machine.resumedAs} />
          </p>
        )}
        {machine.failure !== "" && <Failure text={machine.failure} />}
      </th>
      <td data-label="State">
        <StateBadge state={machine.state} />
      </td>
      <td data-label="Template" className="name">
        {machine.template}
      </td>
      <td data-label="Size">
        <span>
          {machine.vcpus} vCPU · {mebibytes(machine.memoryMb)}
          <span className="quiet"> · {mebibytes(machine.diskMb)} disk</span>
        </span>
      </td>
      <td data-label="Age" className="number">
        <time dateTime={createdAt && timestampDate(createdAt).toISOString()}>
          {since(createdAt, now)}
        </time>
      </td>
      <td data-label="Time left" className={soon ? "number soon" : "number"}>
        {ended ? "–" : until(timeoutAt, now)}
      </td>
      <td className="actions">
        <MachineActions machine={machine} />
        <button
          type="button"
          className="danger"
          disabled={machine.state === MachineState.KILLING}
          onClick={() => onKill(machine)}
        >
          Kill<span className="hidden"> {machine.id}</span>
        </button>
      </td>
    </tr>
  );
}

/** Why a machine failed; what comes after the first line is shown on demand. */
export function Failure({ text }: { text: string }) {
  const [first, ...rest] = text.split("\n");
  if (rest.length === 0) return <p className="failure">{first}</p>;
  return (
    <details className="failure">
      <summary>{first}</summary>
      <pre>{rest.join("\n")}</pre>
    </details>
  );
}
