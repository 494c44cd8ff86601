import { useMutation } from "@connectrpc/connect-query";
import { type Machine, MachineService, MachineState, SnapshotService } from "@nullspace/proto";
import { explain } from "../explain";
import { newKey } from "../new-key";
import { MachineLink } from "./machine-link";

interface Props {
  machine: Machine;
  /** Say which machine a fork made, where no table shows it. */
  tellsForks?: boolean;
}

/** What can be done with a machine as it is; what comes of it appears in the table by itself. */
export function MachineActions({ machine, tellsForks = false }: Props) {
  const { id, state, resumedAs } = machine;
  const pause = useMutation(MachineService.method.pause);
  const resume = useMutation(MachineService.method.connect);
  const fork = useMutation(MachineService.method.fork);
  const snapshot = useMutation(SnapshotService.method.create);
  const all = [pause, resume, fork, snapshot];
  const busy = all.some(({ isPending }) => isPending);
  const error = all.find((mutation) => mutation.error !== null)?.error;
  const failed = fork.data?.results.find(({ result }) => result.case === "failure")?.result;
  const child = fork.data?.results.find(({ result }) => result.case === "child")?.result;
  const problem = error ? explain(error) : failed?.case === "failure" ? failed.value.message : "";
  const act = (name: string, onClick: () => void) => (
    <button
      type="button"
      disabled={busy}
      onClick={() => {
        for (const mutation of all) mutation.reset();
        onClick();
      }}
    >
      {name}
      <span className="hidden"> {id}</span>
    </button>
  );
  return (
    <>
      {state === MachineState.RUNNING && (
        <>
          {act("Pause", () => pause.mutate({ id }))}
          {act("Fork", () => fork.mutate({ id, count: 1, idempotencyKey: newKey() }))}
          {act("Snapshot", () => snapshot.mutate({ machineId: id, idempotencyKey: newKey() }))}
        </>
      )}
      {state === MachineState.PAUSED &&
        resumedAs === "" &&
        act("Resume", () => resume.mutate({ id }))}
      {snapshot.data !== undefined && (
        <p className="quiet fine" role="status">
          Saved as <code>{snapshot.data.snapshot?.id}</code>
        </p>
      )}
      {tellsForks && child?.case === "child" && child.value.machine !== undefined && (
        <p className="quiet fine" role="status">
          Forked as <MachineLink id={child.value.machine.id} />
        </p>
      )}
      {problem !== "" && (
        <p className="failure" role="alert">
          {problem}
        </p>
      )}
    </>
  );
}
