import type { ClientHttp2Session } from "node:http2";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** How long to wait for a connection to a machine's agent, in milliseconds. */
const CONNECT_TIMEOUT_MS = 30_000;

/** Gives the live HTTP/2 session to a machine's agent. */
export type ConnectAgent = (machineId: string, signal: AbortSignal) => Promise<ClientHttp2Session>;

/**
 * Connects to a machine's agent, and waits for it only so long.
 *
 * @throws Fault AGENT_UNREACHABLE when it does not answer in time, and what `connect` throws.
 */
export async function connectInTime(
  connect: ConnectAgent,
  machineId: string,
  signal?: AbortSignal,
): Promise<ClientHttp2Session> {
  const deadline = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  try {
    return await connect(machineId, signal ? AbortSignal.any([signal, deadline]) : deadline);
  } catch (error) {
    throw deadline.aborted ? unreachable("the machine's agent does not answer", error) : error;
  }
}

/** The refusal of a call to an agent that is not to be reached. */
export function unreachable(
  message: string,
  cause: unknown,
  details: Record<string, string> = {},
): Fault {
  return new Fault(ErrorReason.AGENT_UNREACHABLE, message, {
    remedy: "Try again in a moment; a machine that has died is shown as failed.",
    details,
    cause,
  });
}
