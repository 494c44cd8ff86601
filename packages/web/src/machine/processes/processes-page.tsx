import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { explain } from "../../explain";
import { useNow } from "../../machines/use-now";
import { useMachine } from "../machine-context";
import { LogView } from "./log-view";
import { ProcessRow } from "./process-row";

/** How often the list is looked at anew, in milliseconds. */
const LIST_EVERY_MS = 2_000;

/** What commands started, with their output. */
export function ProcessesPage() {
  const machine = useMachine();
  const { id, commands } = machine;
  const [shown, setShown] = useState<number>();
  const now = useNow();
  const { data, error, refetch } = useQuery({
    queryKey: ["processes", id],
    queryFn: ({ signal }) => commands.list({ signal }),
    refetchInterval: LIST_EVERY_MS,
    retry: false,
  });
  const stop = useMutation({
    mutationFn: async ({ pid, signal }: { pid: number; signal: "SIGTERM" | "SIGKILL" }) => {
      await commands.kill(pid, signal);
      await refetch();
    },
  });
  const problem = stop.error ?? error;

  return (
    <>
      {problem !== null && (
        <p className="failure" role="alert">
          {explain(problem)}
        </p>
      )}
      {data === undefined && error === null && (
        <p className="quiet loading">Asking for the processes…</p>
      )}
      {data?.length === 0 && (
        <p className="nothing card">
          No commands have been run lately. What <code>commands.run</code> and{" "}
          <code>nullspace exec</code> start is listed here, with its output.
        </p>
      )}
      {data !== undefined && data.length > 0 && (
        <table className="machines processes">
          <thead>
            <tr>
              <th scope="col">Command</th>
              <th scope="col">State</th>
              <th scope="col">Started</th>
              <th scope="col">Output</th>
              <th scope="col">
                <span className="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {data.map((process) => (
              <ProcessRow
                key={process.pid}
                process={process}
                now={now}
                shown={process.pid === shown}
                onShow={() => setShown(process.pid === shown ? undefined : process.pid)}
                onStop={(signal) => stop.mutate({ pid: process.pid, signal })}
              />
            ))}
          </tbody>
        </table>
      )}
      {shown !== undefined && (
        <LogView key={shown} pid={shown} onClose={() => setShown(undefined)} />
      )}
    </>
  );
}
