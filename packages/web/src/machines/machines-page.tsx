import { useState } from "react";
import type { Machine } from "@nullspace/proto";
import { CreateButton } from "./create-button";
import { EmptyState } from "./empty-state";
import { FeedIndicator } from "./feed-indicator";
import { KillDialog } from "./kill-dialog";
import { MachineTable } from "./machine-table";
import { useMachines } from "./use-machines";

/** Every machine of the account, as it is now. */
export function MachinesPage() {
  const { machines, status, problem } = useMachines();
  const [toKill, setToKill] = useState<Machine>();

  return (
    <>
      <title>Machines · Nullspace</title>
      <div className="heading">
        <h1>
          Machines
          {machines.length > 0 && <span className="count">{machines.length}</span>}
        </h1>
        <FeedIndicator status={status} />
        <CreateButton />
      </div>
      {problem !== undefined && (
        <p className="notice" role="status">
          {problem} Trying again; what you see is the last that is known.
        </p>
      )}
      {status === "connecting" && <p className="quiet loading">Asking for the machines…</p>}
      {status !== "connecting" && machines.length === 0 && <EmptyState />}
      {machines.length > 0 && <MachineTable machines={machines} onKill={setToKill} />}
      <KillDialog machine={toKill} onClose={() => setToKill(undefined)} />
    </>
  );
}
