import { type Machine as MachineMessage, MachineState } from "@nullspace/proto";
import { type Machine, Nullspace } from "@nullspace/sdk";
import { Outlet, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { explain, isUnauthenticated } from "../explain";
import { MachineLink } from "../machines/machine-link";
import { readKey } from "../session/session";
import { useSignOut } from "../session/sign-out";
import { MachineContext, useRecord } from "./machine-context";

/** Gives the pages below the machine to work in while it runs, and otherwise says why there is nothing. */
export function WhileRunning() {
  const record = useRecord();
  if (record.state !== MachineState.RUNNING) return <NotRunning record={record} />;
  return <Connected id={record.id} />;
}

function Connected({ id }: { id: string }) {
  const navigate = useNavigate();
  const signOut = useSignOut();
  const [machine, setMachine] = useState<Machine>();
  const [problem, setProblem] = useState<unknown>();
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    const client = new Nullspace({ url: window.location.origin, apiKey: readKey() });
    let left = false;
    const connect = async () => {
      try {
        const found = await client.machines.connect(id);
        if (left) return;
        if (found.id === id) setMachine(found);
        // It was paused a moment ago, and goes on as another.
        else await navigate({ to: "/machines/$id", params: { id: found.id }, replace: true });
      } catch (error) {
        if (left) return;
        if (isUnauthenticated(error)) signOut();
        else setProblem(error);
      }
    };
    void connect();
    return () => {
      left = true;
      client.close();
    };
    // Each attempt is made anew.
  }, [id, attempt, navigate, signOut]);

  if (machine !== undefined) {
    return (
      <MachineContext value={machine}>
        <Outlet />
      </MachineContext>
    );
  }
  if (problem === undefined) return <p className="quiet loading">Connecting to the machine…</p>;
  return (
    <div className="loading">
      <p className="failure" role="alert">
        {explain(problem)}
      </p>
      <button
        type="button"
        onClick={() => {
          setProblem(undefined);
          setAttempt(attempt + 1);
        }}
      >
        Try again
      </button>
    </div>
  );
}

function NotRunning({ record: { state, resumedAs } }: { record: MachineMessage }) {
  return (
    <div className="nothing card" role="status">
      {resumedAs !== "" ? (
        <p>
          This machine was paused and goes on as <MachineLink id={resumedAs} />.
        </p>
      ) : (
        <p>{WHY[state] ?? "The machine is on its way. This page goes on when it runs."}</p>
      )}
    </div>
  );
}

const WHY: Partial<Record<MachineState, string>> = {
  [MachineState.PAUSED]:
    "The machine is paused. Resume it to go on where it was: programs, terminals and all.",
  [MachineState.PAUSING]: "The machine is being paused.",
  [MachineState.KILLING]: "The machine is being killed.",
  [MachineState.FAILED]: "The machine has failed, so there is nothing to look into. See Details.",
};
