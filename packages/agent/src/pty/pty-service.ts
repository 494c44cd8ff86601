import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type { PtyService, PtySize } from "@nullspace/proto/agent";
import { signalNumber } from "../process/signals.js";
import type { Size } from "./screen.js";
import { type PtyTable, validSize } from "./pty-table.js";

/** Serves the terminal sessions of a table. */
export function ptyService(table: PtyTable): ServiceImpl<typeof PtyService> {
  return {
    async create(request) {
      return { session: (await table.create(request)).describe() };
    },

    async *connect({ sessionId, size, offset, answersQueries }, { signal }) {
      const view = {
        size: size && validSize(size),
        offset: offset === undefined ? undefined : Number(offset),
        answersQueries,
      };
      try {
        for await (const event of table.get(sessionId).view(view, signal)) yield { event };
      } catch (error) {
        throw asCancelled(error, signal);
      }
    },

    list() {
      return { sessions: table.list().map((session) => session.describe()) };
    },

    async sendInput({ sessionId, writerId, sequence, data }, context) {
      try {
        await table.get(sessionId).send(writerId, sequence, data, () => context.signal);
      } catch (error) {
        throw asCancelled(error, context.signal);
      }
      return {};
    },

    async resize({ sessionId, size }) {
      await table.get(sessionId).resize(sizeOf(size));
      return {};
    },

    async wait({ sessionId }, context) {
      const session = table.get(sessionId);
      return { exit: await cancellable(context, (signal) => session.exit(signal)) };
    },

    sendSignal({ sessionId, signal }) {
      table.get(sessionId).signal(signalNumber(signal));
      return {};
    },
  };
}

function sizeOf(size: PtySize | undefined): Size {
  return validSize(size ?? { cols: 0, rows: 0 });
}

async function cancellable<T>(
  { signal }: HandlerContext,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  try {
    return await act(signal);
  } catch (error) {
    throw asCancelled(error, signal);
  }
}

/** A call that has ended is nobody's fault, whatever its signal says. */
function asCancelled(error: unknown, signal: AbortSignal): unknown {
  if (!signal.aborted || error instanceof ConnectError) return error;
  return new ConnectError("the caller has gone", Code.Canceled);
}
