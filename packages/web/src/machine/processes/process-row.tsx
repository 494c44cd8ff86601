import type { ProcessInfo } from "@nullspace/sdk";
import { bytes, duration } from "../../machines/format";

interface Props {
  process: ProcessInfo;
  now: number;
  /** Whether its output is shown. */
  shown: boolean;
  onShow: () => void;
  onStop: (signal: "SIGTERM" | "SIGKILL") => void;
}

/** One process of the list. */
export function ProcessRow({ process, now, shown, onShow, onStop }: Props) {
  const { pid, command, args, user, cwd, startedAt, running, outputBytes } = process;
  const hidden = <span className="hidden"> {pid}</span>;
  return (
    <tr>
      <th scope="row">
        <code className="command">{[command, ...args].join(" ")}</code>
        <p className="quiet fine">
          {pid} · {user} · {cwd}
        </p>
      </th>
      <td data-label="State">
        <span className={`badge badge-${toneOf(process)}`}>
          <span className="dot" aria-hidden="true" />
          {stateOf(process)}
        </span>
      </td>
      <td data-label="Started" className="number">
        {startedAt === undefined ? "–" : `${duration(now - startedAt.getTime())} ago`}
      </td>
      <td data-label="Output" className="number">
        {bytes(outputBytes)}
      </td>
      <td className="actions">
        <button type="button" aria-pressed={shown} onClick={onShow}>
          Logs{hidden}
        </button>
        {running && (
          <>
            <button type="button" onClick={() => onStop("SIGTERM")}>
              Stop{hidden}
            </button>
            <button type="button" className="danger" onClick={() => onStop("SIGKILL")}>
              Kill{hidden}
            </button>
          </>
        )}
      </td>
    </tr>
  );
}

function toneOf({ running, end }: ProcessInfo): string {
  if (running) return "good";
  return end?.exitCode === 0 ? "still" : "bad";
}

function stateOf({ running, end }: ProcessInfo): string {
  if (running) return "running";
  if (end?.timedOut === true) return "timed out";
  return end?.signal ?? `exit code ${end?.exitCode ?? "unknown"}`;
}
