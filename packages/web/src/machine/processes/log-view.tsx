import { useLayoutEffect, useRef } from "react";
import { useMachine } from "../machine-context";
import { useLogs } from "./use-logs";

const STATES = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  ended: "Ended",
};

/** A process's output, live. It stays at the end for as long as one does not scroll away from it. */
export function LogView({ pid, onClose }: { pid: number; onClose: () => void }) {
  const { pieces, cut, status, problem } = useLogs(useMachine(), pid);
  const box = useRef<HTMLPreElement>(null);
  const section = useRef<HTMLElement>(null);
  const atEnd = useRef(true);
  // Below a long list it would open unseen.
  useLayoutEffect(() => {
    section.current?.scrollIntoView({ block: "nearest" });
  }, []);
  useLayoutEffect(() => {
    if (atEnd.current) box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [pieces]);

  return (
    <section ref={section} className="log card" aria-label={`Output of process ${pid}`}>
      <div className="bar">
        <h2>
          Output of <code>{pid}</code>
        </h2>
        <span className={`feed feed-${status}`} role="status">
          <span className="dot" aria-hidden="true" />
          {STATES[status]}
        </span>
        <div className="bar-actions">
          <button type="button" className="plain" onClick={onClose}>
            Close
          </button>
        </div>
      </div>
      {problem !== undefined && (
        <p className="failure" role="alert">
          {problem}
        </p>
      )}
      <pre
        ref={box}
        tabIndex={0}
        aria-label="Output"
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          atEnd.current = scrollHeight - scrollTop - clientHeight < 24;
        }}
      >
        {cut && <span className="quiet">The beginning is not shown.{"\n"}</span>}
        {pieces.map(({ stream, text }, index) => (
          <span key={index} className={stream}>
            {text}
          </span>
        ))}
        {pieces.length === 0 && status !== "connecting" && (
          <span className="quiet">
            {status === "ended" ? "It wrote nothing." : "Nothing was written yet."}
          </span>
        )}
      </pre>
    </section>
  );
}
