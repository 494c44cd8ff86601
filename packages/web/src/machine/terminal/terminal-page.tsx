import type { PtySession, PtySize } from "@nullspace/sdk";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { explain } from "../../explain";
import { newKey } from "../../new-key";
import { useMachine } from "../machine-context";
import type { TerminalStatus } from "./attachment";
import { describeExit } from "./describe-exit";
import { SessionBar } from "./session-bar";
import { TerminalView } from "./terminal-view";

/** The session to show: one that there is, or a new one, made once for its key. */
interface Choice {
  key: string;
  id: string | undefined;
}

/** How often the list of sessions is looked at anew, in milliseconds. */
const LIST_EVERY_MS = 10_000;

/** A live terminal: goes on with the newest session that runs, or starts one. */
export function TerminalPage() {
  const machine = useMachine();
  const [choice, setChoice] = useState<Choice>();
  const [status, setStatus] = useState<TerminalStatus>({ kind: "opening" });
  const [current, setCurrent] = useState<string>();
  const newSession = useRef<HTMLButtonElement>(null);
  const { data, error, refetch } = useQuery({
    queryKey: ["sessions", machine.id],
    queryFn: ({ signal }) => machine.pty.list({ signal }),
    refetchInterval: LIST_EVERY_MS,
    // What was there at the last visit may have ended since.
    gcTime: 0,
    retry: false,
  });
  const end = useMutation({ mutationFn: (id: string) => machine.pty.kill(id, "SIGHUP") });

  function show(id: string | undefined) {
    end.reset();
    setStatus({ kind: "opening" });
    setCurrent(id);
    setChoice({ key: newKey(), id });
  }
  const sessions = data?.filter(({ running, id }) => running || id === current);
  if (choice === undefined && data !== undefined) show(data.find(({ running }) => running)?.id);

  const open = (size: PtySize, signal: AbortSignal): Promise<PtySession> => {
    const options = { ...size, answersQueries: true, signal };
    return choice?.id === undefined
      ? machine.pty.create({ ...options, idempotencyKey: choice?.key })
      : machine.pty.connect(choice.id, options);
  };
  const problem = "problem" in status ? status.problem : undefined;

  return (
    <section className="terminal-page" aria-label="Terminal">
      <SessionBar
        sessions={sessions ?? []}
        current={current}
        status={status}
        newButton={newSession}
        onChoose={show}
        onEnd={() => current !== undefined && end.mutate(current)}
      />
      {choice === undefined ? (
        <div className="terminal-box" />
      ) : (
        <TerminalView
          key={choice.key}
          open={open}
          exit={newSession}
          onOpened={({ id }) => {
            setCurrent(id);
            void refetch();
          }}
          onStatus={setStatus}
        />
      )}
      <p className="quiet fine under" role="status">
        {status.kind === "ended" ? (
          describeExit(status.exit)
        ) : (
          <>
            The session goes on when you leave.{" "}
            <span className="for-keyboards">
              Ctrl+Shift+Enter takes the keyboard out of the terminal.
            </span>
          </>
        )}
      </p>
      {[problem, error && explain(error), end.error && explain(end.error)].map(
        (text, index) =>
          text && (
            <p key={index} className="failure" role="alert">
              {text}
            </p>
          ),
      )}
    </section>
  );
}
