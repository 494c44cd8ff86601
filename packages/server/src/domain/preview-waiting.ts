import { setTimeout } from "node:timers/promises";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { describeError, reasonOf } from "./failure.js";
import { invalid } from "./limits.js";
import type { Machines } from "./machines.js";
import type { PreviewProbe } from "./preview-probe.js";
import { checkPreviewPort } from "./previews.js";

const TIMEOUT_MS = { max: 300_000, default: 30_000 } as const;
/** Between two requests to a service that listens but does not answer well yet: nothing tells when it will. */
const AGAIN_MS = 200;
/** How long the machine's agent may take, after that time, to say that nothing has happened in it. */
const GRACE_MS = 5000;

/** Which service somebody waits for. */
export interface WaitRequest {
  readonly machineId: string;
  readonly port: number;
  /** Of a request that it is to answer; a connection is enough when empty. */
  readonly path: string;
  /** Half a minute when 0. */
  readonly timeoutMs: number;
  /** The Host that it sees. */
  readonly host: string;
}

/** Whether a preview works, and if not, at which end it fails. */
export interface Readiness {
  /** The machine runs and its agent answers. */
  readonly routeReady: boolean;
  readonly serviceReady: boolean;
  /** Status of the last answer; 0 for none. */
  readonly status: number;
  readonly attempts: number;
  readonly elapsedMs: number;
  /** Why it is not ready. */
  readonly failure: Fault | undefined;
}

/**
 * Waits until a service in a machine takes connections or answers. Never wakes the machine.
 *
 * @throws Fault PORT_REFUSED, INVALID_ARGUMENT, MACHINE_NOT_FOUND, or the reason of the signal.
 */
export async function waitForService(
  {
    machines,
    probe,
  }: { readonly machines: Pick<Machines, "get" | "getRunning">; readonly probe: PreviewProbe },
  request: WaitRequest,
  signal: AbortSignal,
): Promise<Readiness> {
  const { machineId, port, path, host } = request;
  checkPreviewPort(port);
  if (path !== "" && !/^\/[\u0021-\u007e]*$/.test(path)) {
    throw invalid(
      "path",
      "is no path of a URL",
      'Begin it with "/", and encode what is not ASCII.',
    );
  }
  if (request.timeoutMs > TIMEOUT_MS.max) {
    throw invalid("timeout_ms", `is ${request.timeoutMs}`, `Give at most ${TIMEOUT_MS.max}.`);
  }
  await machines.get(machineId);
  const timeoutMs = request.timeoutMs || TIMEOUT_MS.default;
  const startedAt = performance.now();
  const elapsed = () => performance.now() - startedAt;
  const late = AbortSignal.timeout(timeoutMs + GRACE_MS);
  const over = AbortSignal.any([signal, late]);
  let routeReady = false;
  let status = 0;
  let attempts = 0;
  let failure: Fault | undefined;
  const outcome = (serviceReady: boolean): Readiness => ({
    routeReady,
    serviceReady,
    status,
    attempts,
    elapsedMs: elapsed(),
    failure: serviceReady ? undefined : failure,
  });
  for (;;) {
    attempts++;
    try {
      await machines.getRunning(machineId);
      const waitMs = Math.max(0, Math.floor(timeoutMs - elapsed()));
      ({ status } = await probe.look({ machineId, port, path, host, waitMs }, over));
      routeReady = true;
      if (status < 500) return outcome(true);
      failure = notReady(`the service answers with status ${status}`);
    } catch (error) {
      signal.throwIfAborted();
      const reason = reasonOf(error);
      // What the agent tells of a port it has looked at.
      const isServices = reason !== undefined && OF_SERVICES.has(reason);
      if (isServices) routeReady = true;
      else if (!late.aborted && !(error instanceof Fault)) throw error;
      if (error instanceof Fault) failure = isServices ? notReady(describeError(error)) : error;
      failure ??= notReady("the service did not answer in time");
    }
    if (late.aborted || elapsed() + AGAIN_MS > timeoutMs) {
      if (routeReady && status === 0) failure = await withListening(probe, machineId, failure);
      return outcome(false);
    }
    await setTimeout(AGAIN_MS, undefined, { signal });
  }
}

const OF_SERVICES: ReadonlySet<ErrorReason> = new Set([
  ErrorReason.PORT_CLOSED,
  ErrorReason.PORT_CONNECTION_LOST,
  ErrorReason.PREVIEW_BAD_ANSWER,
  ErrorReason.PREVIEW_SERVICE_NOT_READY,
]);

/** Says what listens instead, which is often the answer. */
async function withListening(
  probe: PreviewProbe,
  machineId: string,
  failure: Fault,
): Promise<Fault> {
  try {
    const ports = await probe.listening(machineId, AbortSignal.timeout(AGAIN_MS * 10));
    const told = ports.map(({ port, process }) =>
      process === "" ? `${port}` : `${port} (${process})`,
    );
    const there =
      told.length === 0 ? "nothing listens" : `listening: ${[...new Set(told)].join(", ")}`;
    return notReady(`${failure.message}; ${there}`);
  } catch {
    // It was a help, no more.
    return failure;
  }
}

function notReady(message: string): Fault {
  return new Fault(ErrorReason.PREVIEW_SERVICE_NOT_READY, message, {
    remedy: "Look at the output of the program that should listen on this port.",
  });
}
