import { useNow } from "../machines/use-now";
import type { Descendant } from "./lineage";
import { SnapshotRow } from "./snapshot-row";

interface Props {
  readonly rows: readonly Descendant[];
}

/** Snapshots in a table. */
export function SnapshotTable({ rows }: Props) {
  const now = useNow();
  return (
    <table className="machines">
      <thead>
        <tr>
          <th scope="col">Snapshot</th>
          <th scope="col">Kind</th>
          <th scope="col">Machine</th>
          <th scope="col">Takes</th>
          <th scope="col">Age</th>
          <th scope="col">
            <span className="hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ snapshot, depth }) => (
          <SnapshotRow key={snapshot.id} snapshot={snapshot} depth={depth} now={now} />
        ))}
      </tbody>
    </table>
  );
}
