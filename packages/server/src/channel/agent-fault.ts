import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { Fault, toConnectError } from "@nullspace/proto/fault";

/**
 * A failure that an agent told, in words of ours: a reason that there is, with the code that goes
 * with it. Whatever else came along, such as headers for our own answer, stays behind: the agent
 * may not be ours any more.
 */
export function agentFault(error: ConnectError): Fault {
  const [info] = error.findDetails(ErrorInfoSchema);
  const isLost = error.code === Code.Unavailable || error.code === Code.Aborted;
  if (info === undefined && isLost) return lostAgent(error);
  if (info === undefined || !isKnown(info.reason)) return damagedAgent(error.rawMessage, error);
  const { reason, remedy, details } = info;
  return new Fault(reason, error.rawMessage, { remedy, details, cause: error });
}

/** The refusal of a call whose connection broke. */
export function lostAgent(cause?: unknown): Fault {
  return new Fault(ErrorReason.AGENT_UNREACHABLE, "the connection to the machine's agent broke", {
    remedy: "Try again in a moment; a machine that has died is shown as failed.",
    cause,
  });
}

/** The refusal of a call that an agent answers with what is no answer. */
export function damagedAgent(what: string, cause?: unknown): Fault {
  return new Fault(
    ErrorReason.AGENT_UNREACHABLE,
    `the machine's agent gives no answer that makes sense: ${what}`,
    { remedy: "Create the machine anew; its agent is damaged.", cause },
  );
}

/** Has calls fail with what {@link agentFault} makes of it, but for those that the caller itself ended, or that the agent does not know. */
export const agentFaults: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: faultsOf(response.message) } : response;
  } catch (error) {
    throw ownWords(error);
  }
};

async function* faultsOf<T>(messages: AsyncIterable<T>): AsyncGenerator<T, void> {
  try {
    yield* messages;
  } catch (error) {
    throw ownWords(error);
  }
}

function ownWords(error: unknown): unknown {
  if (!(error instanceof ConnectError)) return error;
  const isTold = error.findDetails(ErrorInfoSchema).length > 0;
  if (KEPT.has(error.code) && !isTold) return new ConnectError(error.rawMessage, error.code);
  return toConnectError(agentFault(error));
}

/** Calls that were ended here, and those that an agent of an older version does not know. */
const KEPT: ReadonlySet<Code> = new Set([Code.Canceled, Code.DeadlineExceeded, Code.Unimplemented]);

function isKnown(reason: ErrorReason): boolean {
  return reason !== ErrorReason.UNSPECIFIED && ErrorReason[reason] !== undefined;
}
