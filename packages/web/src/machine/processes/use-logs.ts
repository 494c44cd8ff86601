import type { Machine } from "@nullspace/sdk";
import { useEffect, useState } from "react";
import { follow } from "../../follow";
import { useSignOut } from "../../session/sign-out";
import { LogText, type LogPiece } from "./log-text";

/** A process's output as far as it came. */
export interface Logs {
  pieces: readonly LogPiece[];
  /** Whether the beginning is missing. */
  cut: boolean;
  status: "connecting" | "live" | "reconnecting" | "ended";
  problem: string | undefined;
}

const NOTHING: Logs = { pieces: [], cut: false, status: "connecting", problem: undefined };

/** Follows a process's output from its beginning, as far as it is kept, until its end. */
export function useLogs(machine: Machine, pid: number): Logs {
  const [logs, setLogs] = useState(NOTHING);
  const signOut = useSignOut();
  useEffect(() => {
    const stop = new AbortController();
    let log = new LogText();
    let drawing: number | undefined;
    // However fast it writes, it is drawn once a frame.
    const draw = () => {
      drawing ??= requestAnimationFrame(() => {
        drawing = undefined;
        setLogs((former) => ({ ...former, pieces: log.pieces, cut: log.cut }));
      });
    };
    const become = (change: Partial<Logs>) => setLogs((former) => ({ ...former, ...change }));
    const stream = async function* (signal: AbortSignal) {
      await using handle = await machine.commands.connect(pid, { signal });
      signal.addEventListener("abort", () => handle.disconnect(), { once: true });
      // A new stream tells all of it again.
      log = new LogText();
      become({ status: "live", problem: undefined });
      for await (const { stream: name, text, droppedBytes } of handle) {
        if (droppedBytes > 0) log.cut = true;
        log.push({ stream: name, text });
        draw();
        yield;
      }
      if (signal.aborted) return;
      become({ status: "ended" });
      stop.abort();
    };
    const onProblem = (problem: string) => become({ status: "reconnecting", problem });
    void follow({ stream, onProblem, onRefused: signOut }, stop.signal);
    return () => {
      stop.abort();
      if (drawing !== undefined) cancelAnimationFrame(drawing);
    };
  }, [machine, pid, signOut]);
  return logs;
}
