import { useMutation } from "@connectrpc/connect-query";
import { MachineService, type Snapshot, SnapshotKind, SnapshotService } from "@nullspace/proto";
import { explain } from "../explain";
import { bytes, since } from "../machines/format";
import { Labels } from "../machines/labels";
import { newKey } from "../new-key";

/** Deeper ones are not moved in further. */
const DEEPEST_INDENT = 5;

interface Props {
  snapshot: Snapshot;
  depth: number;
  now: number;
}

/** One snapshot of the table. */
export function SnapshotRow({ snapshot, depth, now }: Props) {
  const create = useMutation(MachineService.method.create);
  const resume = useMutation(MachineService.method.resume);
  const remove = useMutation(SnapshotService.method.delete);
  const { id, kind, name, machineId, metadata, sizeBytes, stoppedMs, createdAt } = snapshot;
  const paused = kind === SnapshotKind.PAUSE;
  const error = create.error ?? resume.error ?? remove.error;
  const busy = create.isPending || resume.isPending || remove.isPending;
  return (
    <tr>
      <th scope="row" className={`depth-${Math.min(depth, DEEPEST_INDENT)}`}>
        {depth > 0 && <span className="quiet branch">└ </span>}
        <code className="id">{id}</code> {name}
        <Labels metadata={metadata} />
        {error !== null && (
          <p className="failure" role="alert">
            {explain(error)}
          </p>
        )}
      </th>
      <td data-label="Kind">{paused ? "paused machine" : "reusable"}</td>
      <td data-label="Machine">
        <code>{machineId}</code>
      </td>
      <td
        data-label="Takes"
        className="number"
        title={`stood still for ${stoppedMs.toFixed(1)} ms`}
      >
        {bytes(Number(sizeBytes))}
      </td>
      <td data-label="Age" className="number">
        {since(createdAt, now)}
      </td>
      <td className="actions">
        <button
          type="button"
          disabled={busy}
          onClick={() =>
            paused
              ? resume.mutate({ snapshotId: id })
              : create.mutate({ snapshotId: id, idempotencyKey: newKey() })
          }
        >
          {paused ? "Resume" : "Start"}
          <span className="hidden"> {id}</span>
        </button>
        <button
          type="button"
          className="danger"
          disabled={busy}
          onClick={() => {
            const what = paused ? `${id} and the paused machine ${machineId}` : id;
            if (window.confirm(`Delete ${what}? This cannot be undone.`)) remove.mutate({ id });
          }}
        >
          Delete<span className="hidden"> {id}</span>
        </button>
      </td>
    </tr>
  );
}
