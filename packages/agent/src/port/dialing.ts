import { once } from "node:events";
import { connect, isIP, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** Where a service that says no address is looked for, in this order. */
const LOOPBACK = ["127.0.0.1", "::1"] as const;

const MAX_PORT = 65_535;

/** How often a port is tried that something is to listen on: nothing tells when it does. */
const RETRY_MS = 50;

/**
 * Connects to a port of this machine.
 *
 * @param host An IP address; the loopback addresses when empty.
 * @param waitMs How long to wait until something listens, in milliseconds.
 * @throws Fault INVALID_ARGUMENT, PORT_CLOSED, or the reason of the signal.
 */
export async function dialPort(
  port: number,
  host: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<Socket> {
  if (port < 1 || port > MAX_PORT) {
    throw new Fault(ErrorReason.INVALID_ARGUMENT, `port is ${port}`, {
      remedy: `Give a port from 1 to ${MAX_PORT}.`,
      details: { field: "port" },
    });
  }
  // A name would be looked up, by whom the guest says.
  if (host !== "" && isIP(host) === 0) {
    throw new Fault(ErrorReason.INVALID_ARGUMENT, "host is no IP address", {
      remedy: "Give an IP address of the machine, or none.",
      details: { field: "host" },
    });
  }
  const deadline = performance.now() + waitMs;
  for (;;) {
    const { socket, refusal } = await connectToOneOf(host === "" ? LOOPBACK : [host], port, signal);
    if (socket !== undefined) return socket;
    if (performance.now() + RETRY_MS > deadline) throw portClosed(port, refusal);
    await setTimeout(RETRY_MS, undefined, { signal });
  }
}

function portClosed(port: number, cause: unknown): Fault {
  return new Fault(ErrorReason.PORT_CLOSED, `nothing listens on port ${port} of the machine`, {
    remedy: "Start a service on this port, or wait until it listens.",
    details: { port: String(port) },
    cause,
  });
}

async function connectToOneOf(
  hosts: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<{ socket?: Socket; refusal?: unknown }> {
  let refusal: unknown;
  for (const address of hosts) {
    try {
      return { socket: await connectTo(address, port, signal) };
    } catch (error) {
      signal.throwIfAborted();
      refusal = error;
    }
  }
  return { refusal };
}

async function connectTo(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  // Told to who reads and writes, which may be nobody at that moment.
  socket.on("error", () => undefined);
  try {
    await once(socket, "connect", { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
