import type { ProcessEvent, StartResponse } from "@nullspace/proto/agent";
import type { Host } from "./dial.js";

/** A running Process.Start whose first event, the pid, has been read. */
export interface Call {
  pid: number;
  /** The next event; nothing at the end. */
  next: () => Promise<ProcessEvent["event"] | undefined>;
  /** All that has not been read yet. */
  rest: AsyncIterable<StartResponse>;
}

/** Starts a process in the root folder and reads its pid. */
export async function startCall(
  host: Host,
  command: string,
  options: { stdin?: boolean; background?: boolean; exec?: boolean } = {},
  signal?: AbortSignal,
): Promise<Call> {
  const events = host.process.start({ command, cwd: "/", ...options }, signal ? { signal } : {});
  const iterator = events[Symbol.asyncIterator]();
  const next = async () => {
    const result: IteratorResult<StartResponse, unknown> = await iterator.next();
    return result.done === true ? undefined : result.value.event?.event;
  };
  const first = await next();
  if (first?.case !== "started") throw new Error("the process did not start");
  return { pid: first.value.pid, next, rest: { [Symbol.asyncIterator]: () => iterator } };
}
