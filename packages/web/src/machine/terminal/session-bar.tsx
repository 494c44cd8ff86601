import type { PtyInfo } from "@nullspace/sdk";
import { type RefObject, useId } from "react";
import type { TerminalStatus } from "./attachment";

interface Props {
  sessions: readonly PtyInfo[];
  /** Id of the session that is shown. */
  current: string | undefined;
  status: TerminalStatus;
  newButton: RefObject<HTMLButtonElement | null>;
  /** Shows the session with this id, or a new one. */
  onChoose: (id: string | undefined) => void;
  onEnd: () => void;
}

const STATES: Record<TerminalStatus["kind"], { label: string; tone: string }> = {
  opening: { label: "Opening", tone: "connecting" },
  live: { label: "Connected", tone: "live" },
  lost: { label: "Reconnecting", tone: "reconnecting" },
  failed: { label: "Not shown", tone: "ended" },
  ended: { label: "Ended", tone: "ended" },
};

/** Which session is shown and how it is doing; starts and ends sessions. */
export function SessionBar({ sessions, current, status, newButton, onChoose, onEnd }: Props) {
  const id = useId();
  const known = sessions.some((session) => session.id === current);
  const { label, tone } = STATES[status.kind];
  return (
    <div className="bar">
      <label htmlFor={id} className="hidden">
        Session
      </label>
      <select
        id={id}
        value={current ?? ""}
        disabled={current === undefined}
        onChange={({ target }) => onChoose(target.value)}
      >
        {!known && <option value={current ?? ""}>{current ?? "new session"}</option>}
        {sessions.map((session) => (
          <option key={session.id} value={session.id}>
            {nameOf(session)}
          </option>
        ))}
      </select>
      <span className={`feed feed-${tone}`} role="status">
        <span className="dot" aria-hidden="true" />
        {label}
      </span>
      <div className="bar-actions">
        <button
          ref={newButton}
          type="button"
          className={status.kind === "ended" || status.kind === "failed" ? "primary" : undefined}
          onClick={() => onChoose(undefined)}
        >
          New session
        </button>
        <button
          type="button"
          className="danger"
          disabled={status.kind !== "live" && status.kind !== "lost"}
          onClick={onEnd}
        >
          End
          <span className="hidden"> this session</span>
        </button>
      </div>
    </div>
  );
}

function nameOf({ command, args, id }: PtyInfo): string {
  const line = [command || "shell", ...args].join(" ");
  return `${line.length > 40 ? `${line.slice(0, 39)}…` : line} · ${id}`;
}
