import { useQuery } from "@connectrpc/connect-query";
import { SnapshotService } from "@nullspace/proto";
import { useEffect } from "react";
import { useEvents } from "../events/use-events";
import { explain } from "../explain";
import { FeedIndicator } from "../machines/feed-indicator";
import { lineage } from "./lineage";
import { SnapshotTable } from "./snapshot-table";

/** The newest snapshots of the account, each below the one it comes from. */
export function SnapshotsPage() {
  const { data, error, refetch } = useQuery(SnapshotService.method.list, { limit: 100 });
  const { events, status } = useEvents();
  const newest = events.find(({ snapshotId }) => snapshotId !== "")?.id;
  useEffect(() => {
    if (newest !== undefined) void refetch();
  }, [newest, refetch]);
  const snapshots = data?.snapshots ?? [];

  return (
    <>
      <title>Snapshots · Nullspace</title>
      <div className="heading">
        <h1>
          Snapshots
          {snapshots.length > 0 && <span className="count">{snapshots.length}</span>}
        </h1>
        <FeedIndicator status={status} />
      </div>
      {error !== null && (
        <p className="notice" role="status">
          {explain(error)}
        </p>
      )}
      {data !== undefined && snapshots.length === 0 && (
        <p className="quiet loading">
          No snapshots yet. Take one of a machine, or pause a machine: it is kept here.
        </p>
      )}
      {snapshots.length > 0 && <SnapshotTable rows={lineage(snapshots)} />}
    </>
  );
}
