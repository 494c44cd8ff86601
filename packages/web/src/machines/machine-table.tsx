import type { Machine } from "@nullspace/proto";
import { MachineRow } from "./machine-row";
import { useNow } from "./use-now";

interface Props {
  machines: readonly Machine[];
  onKill: (machine: Machine) => void;
}

/** The machines in a table; on a narrow screen each is a card. */
export function MachineTable({ machines, onKill }: Props) {
  const now = useNow();
  return (
    <table className="machines">
      <thead>
        <tr>
          <th scope="col">Machine</th>
          <th scope="col">State</th>
          <th scope="col">Template</th>
          <th scope="col">Size</th>
          <th scope="col">Age</th>
          <th scope="col">Time left</th>
          <th scope="col">
            <span className="hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {machines.map((machine) => (
          <MachineRow key={machine.id} machine={machine} now={now} onKill={onKill} />
        ))}
      </tbody>
    </table>
  );
}
