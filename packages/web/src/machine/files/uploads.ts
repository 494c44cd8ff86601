import type { Files } from "@nullspace/sdk";
import { useEffect, useRef, useState } from "react";
import { explain } from "../../explain";
import { joined } from "./paths";

/** Bytes that are read at once. */
const PIECE_BYTES = 512 * 1024;
/** Files on their way at once. */
const AT_ONCE = 2;

/** A file on its way into the machine. */
export interface Upload {
  id: number;
  name: string;
  size: number;
  /** Bytes that were handed over. */
  sent: number;
  state: "waiting" | "sending" | "done" | "failed" | "cancelled";
  /** Why it failed. */
  problem?: string;
}

/** What {@link useUploads} gives. */
export type Uploads = ReturnType<typeof useUploads>;

/** Uploads, a few at a time. They are cancelled with the component that they belong to. */
export function useUploads(files: Files, onDone: () => void) {
  const [uploads, setUploads] = useState<readonly Upload[]>([]);
  const stops = useRef(new Map<number, AbortController>());
  const queue = useRef<{ upload: Upload; file: File; folder: string }[]>([]);
  const running = useRef(0);
  const lastId = useRef(0);

  useEffect(() => {
    const { current } = stops;
    return () => {
      queue.current = [];
      for (const stop of current.values()) stop.abort();
    };
  }, []);

  function change(id: number, with_: Partial<Upload>) {
    setUploads((all) => all.map((upload) => (upload.id === id ? { ...upload, ...with_ } : upload)));
  }

  async function send({ upload: { id }, file, folder }: (typeof queue.current)[number]) {
    const stop = stops.current.get(id);
    if (stop === undefined || stop.signal.aborted) return;
    change(id, { state: "sending" });
    try {
      const pieces = piecesOf(file, (sent) => change(id, { sent }));
      await files.write(joined(folder, file.name), pieces, { signal: stop.signal });
      change(id, { state: "done", sent: file.size });
      onDone();
    } catch (error) {
      if (!stop.signal.aborted) change(id, { state: "failed", problem: explain(error) });
    } finally {
      stops.current.delete(id);
    }
  }

  async function work() {
    if (running.current >= AT_ONCE) return;
    running.current++;
    for (let next = queue.current.shift(); next; next = queue.current.shift()) await send(next);
    running.current--;
  }

  return {
    all: uploads,
    /** Begins to upload into a folder. */
    add: (chosen: readonly File[], folder: string) => {
      const added = chosen.map((file) => {
        const id = ++lastId.current;
        const upload: Upload = { id, name: file.name, size: file.size, sent: 0, state: "waiting" };
        stops.current.set(id, new AbortController());
        queue.current.push({ upload, file, folder });
        return upload;
      });
      // What is over makes room.
      setUploads((all) => [...all.filter(isUnderWay), ...added]);
      for (let worker = 0; worker < AT_ONCE; worker++) void work();
    },
    cancel: (id: number) => {
      stops.current.get(id)?.abort();
      change(id, { state: "cancelled" });
    },
  };
}

/** Whether an upload has not come to its end. */
export function isUnderWay({ state }: Upload): boolean {
  return state === "waiting" || state === "sending";
}

async function* piecesOf(file: File, onSent: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.size; at += PIECE_BYTES) {
    onSent(at);
    yield new Uint8Array(await file.slice(at, at + PIECE_BYTES).arrayBuffer());
  }
}
