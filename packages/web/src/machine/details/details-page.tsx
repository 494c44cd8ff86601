import { useQuery } from "@connectrpc/connect-query";
import { SnapshotService } from "@nullspace/proto";
import { useEffect } from "react";
import { EventLine } from "../../events/event-line";
import { useEvents } from "../../events/use-events";
import { explain } from "../../explain";
import { Failure } from "../../machines/machine-row";
import { SnapshotTable } from "../../snapshots/snapshot-table";
import { useRecord } from "../machine-context";
import { Facts } from "./facts";
import { PreviewSection } from "./preview-section";

/** What is known of a machine, its snapshots, and what happened to it. */
export function DetailsPage() {
  const record = useRecord();
  const { events, problem } = useEvents(record.id);
  const request = { machineId: record.id, limit: 100 };
  const { data, error, refetch } = useQuery(SnapshotService.method.list, request);
  const newest = events.find(({ snapshotId }) => snapshotId !== "")?.id;
  useEffect(() => {
    if (newest !== undefined) void refetch();
  }, [newest, refetch]);
  const snapshots = data?.snapshots ?? [];

  return (
    <div className="details">
      {record.failure !== "" && <Failure text={record.failure} />}
      <Facts machine={record} />
      <PreviewSection machineId={record.id} />
      <section aria-labelledby="machine-snapshots">
        <h2 id="machine-snapshots">Snapshots</h2>
        {error !== null && (
          <p className="failure" role="alert">
            {explain(error)}
          </p>
        )}
        {data !== undefined && snapshots.length === 0 && (
          <p className="quiet">None yet. Press Snapshot to keep the machine as it is now.</p>
        )}
        {snapshots.length > 0 && (
          <SnapshotTable rows={snapshots.map((snapshot) => ({ snapshot, depth: 0 }))} />
        )}
      </section>
      <section aria-labelledby="machine-events">
        <h2 id="machine-events">Events</h2>
        {problem !== undefined && (
          <p className="failure" role="alert">
            {problem}
          </p>
        )}
        {events.length > 0 && (
          <ol className="events card" aria-label="Events, newest first">
            {events.map((event) => (
              <EventLine key={String(event.id)} event={event} />
            ))}
          </ol>
        )}
      </section>
    </div>
  );
}
