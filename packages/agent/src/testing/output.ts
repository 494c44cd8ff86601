import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, type ErrorReason } from "@nullspace/proto";
import { OutputStream, type ProcessEvent, type ProcessExit } from "@nullspace/proto/agent";

/** All that a process told until it ended. */
export interface Collected {
  pid: number;
  stdout: string;
  stderr: string;
  bytes: number;
  dropped: bigint;
  exit: ProcessExit | undefined;
}

/** Reads a stream of process events to its end. */
export async function collect(
  events: AsyncIterable<{ event?: ProcessEvent | undefined }>,
): Promise<Collected> {
  const chunks = { [OutputStream.STDOUT]: [] as Buffer[], [OutputStream.STDERR]: [] as Buffer[] };
  const result: Collected = {
    pid: 0,
    stdout: "",
    stderr: "",
    bytes: 0,
    dropped: 0n,
    exit: undefined,
  };
  for await (const { event } of events) {
    switch (event?.event.case) {
      case "started":
        result.pid = event.event.value.pid;
        break;
      case "output": {
        const { stream, data } = event.event.value;
        if (stream !== OutputStream.UNSPECIFIED) chunks[stream].push(Buffer.from(data));
        result.bytes += data.length;
        break;
      }
      case "dropped":
        result.dropped += event.event.value.bytes;
        break;
      case "exit":
        result.exit = event.event.value;
        break;
      case undefined:
      default:
        break;
    }
  }
  result.stdout = Buffer.concat(chunks[OutputStream.STDOUT]).toString();
  result.stderr = Buffer.concat(chunks[OutputStream.STDERR]).toString();
  return result;
}

/** The reason that a call fails with. */
export async function reasonOf(call: Promise<unknown>): Promise<ErrorReason | undefined> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) return undefined;
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason;
}
