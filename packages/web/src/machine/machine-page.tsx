import { type Machine, MachineState } from "@nullspace/proto";
import { Link, Outlet, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { FeedIndicator } from "../machines/feed-indicator";
import { KillDialog } from "../machines/kill-dialog";
import { MachineActions } from "../machines/machine-actions";
import { StateBadge } from "../machines/state-badge";
import { useMachines } from "../machines/use-machines";
import { RecordContext } from "./machine-context";

/** One machine: what it is, what can be done with it, and what is in it. */
export function MachinePage() {
  const { id } = useParams({ from: "/signed-in/machines/$id" });
  const { machines, status, problem } = useMachines();
  const record = machines.find((machine) => machine.id === id);
  const [toKill, setToKill] = useState<Machine>();

  return (
    <>
      <title>{`${id} · Nullspace`}</title>
      <div className="heading machine-heading">
        <h1>
          <Link to="/" className="quiet">
            Machines
          </Link>
          <span className="quiet"> / </span>
          <code className="id">{id}</code>
        </h1>
        {record !== undefined && <StateBadge state={record.state} />}
        <FeedIndicator status={status} />
        {record !== undefined && (
          <div className="actions">
            <MachineActions key={id} machine={record} tellsForks />
            <button
              type="button"
              className="danger"
              disabled={record.state === MachineState.KILLING}
              onClick={() => setToKill(record)}
            >
              Kill
            </button>
          </div>
        )}
      </div>
      {problem !== undefined && (
        <p className="notice" role="status">
          {problem} Trying again; what you see is the last that is known.
        </p>
      )}
      {status === "connecting" && <p className="quiet loading">Asking for the machine…</p>}
      {status === "live" && record === undefined && <Gone id={id} />}
      {record !== undefined && (
        <RecordContext value={record}>
          <nav className="tabs" aria-label="Parts of this machine">
            <Link to="/machines/$id" params={{ id }} activeOptions={{ exact: true }}>
              Terminal
            </Link>
            <Link to="/machines/$id/files" params={{ id }} activeOptions={{ includeSearch: false }}>
              Files
            </Link>
            <Link to="/machines/$id/processes" params={{ id }}>
              Processes
            </Link>
            <Link to="/machines/$id/details" params={{ id }}>
              Details
            </Link>
          </nav>
          {/* Nothing of one machine is kept when another takes its place. */}
          <Outlet key={id} />
        </RecordContext>
      )}
      <KillDialog machine={toKill} onClose={() => setToKill(undefined)} />
    </>
  );
}

function Gone({ id }: { id: string }) {
  return (
    <div className="nothing card">
      <p>
        There is no machine <code>{id}</code>: it was killed, or it is of another account.
      </p>
      <p>
        <Link to="/">See the machines there are</Link>, or <Link to="/events">what happened</Link>.
      </p>
    </div>
  );
}
