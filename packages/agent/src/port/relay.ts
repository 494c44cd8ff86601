import type { Socket } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import type { DialRequest, DialResponseSchema } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";

type Response = MessageInitShape<typeof DialResponseSchema>;

/**
 * Passes bytes between a connection and a call, each side as fast as the other
 * takes them, until both halves have ended. Breaks the connection off when the
 * call stops before.
 *
 * @param requests What follows "open".
 * @throws Fault PORT_CONNECTION_LOST, INVALID_ARGUMENT, or the reason of the signal.
 */
export async function* relay(
  socket: Socket,
  requests: AsyncIterator<DialRequest>,
  signal: AbortSignal,
): AsyncGenerator<Response, void> {
  const stop = () => socket.resetAndDestroy();
  signal.addEventListener("abort", stop);
  let isOver = false;
  let failure: unknown;
  // Its failure ends the reading below.
  const writing = write(socket, requests).catch((error: unknown) => {
    failure = socket.errored ?? error;
    stop();
  });
  try {
    yield { message: { case: "opened", value: {} } };
    const received: AsyncIterable<Buffer> = socket.iterator({ destroyOnReturn: false });
    for await (const data of received) {
      yield { message: { case: "data", value: data } };
    }
    yield { message: { case: "end", value: {} } };
    await writing;
    if (failure !== undefined) throw failure;
    isOver = true;
  } catch (error) {
    signal.throwIfAborted();
    const cause = failure ?? error;
    throw cause instanceof Fault ? cause : lost(cause);
  } finally {
    signal.removeEventListener("abort", stop);
    if (isOver) socket.destroy();
    else stop();
  }
}

async function write(socket: Socket, requests: AsyncIterator<DialRequest>): Promise<void> {
  for (;;) {
    const next = await requests.next();
    if (next.done === true) throw new Error("the call stopped before it ended its half");
    const { message } = next.value;
    switch (message.case) {
      case "data":
        await put(socket, message.value);
        break;
      case "end":
        return end(socket);
      case "open":
      case undefined:
      default:
        throw new Fault(ErrorReason.INVALID_ARGUMENT, "a request holds neither data nor end", {
          remedy: "Send open once, as the first request.",
        });
    }
  }
}

/** Hands bytes to a socket; resolves when it has taken them. */
async function put(socket: Socket, data: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.write(data, (error) => (error ? reject(error) : resolve()));
  return promise;
}

/** Ends our half; resolves when all before it has gone. */
async function end(socket: Socket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // A socket that breaks first tells so here.
  socket.end((error?: Error | null) => (error ? reject(error) : resolve()));
  return promise;
}

function lost(cause: unknown): Fault {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Fault(ErrorReason.PORT_CONNECTION_LOST, `the connection to the port broke: ${why}`, {
    remedy: "Look at the log of the program that listens there.",
    cause,
  });
}
