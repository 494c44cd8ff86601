import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { HELPER_PORT } from "@nullspace/proto/adoption";

export interface HelperLaunch {
  /** The compiled helper. */
  program: string;
  /** Where it listens, and keeps what the agent must know; one that listens there already is used. */
  stateFolder: string;
  /** The root file system whose identity it renews; "" for that of the machine. */
  root: string;
  /** Privileged verbs do nothing, and the helper and its processes end with the agent. */
  test: boolean;
}

/** Connects to the helper at its socket, starting it first if none is there. */
export async function connectHelper(launch: HelperLaunch): Promise<Socket> {
  const socketPath = join(launch.stateFolder, "helper.sock");
  const running = await tryConnect(socketPath);
  if (running !== undefined) return running;
  await start(launch, socketPath);
  const socket = await tryConnect(socketPath);
  if (socket === undefined) throw new Error(`the guest helper does not listen at ${socketPath}`);
  return socket;
}

/** Starts the helper in a session of its own and resolves when it listens. */
async function start(launch: HelperLaunch, socketPath: string): Promise<void> {
  const { program, root, stateFolder, test } = launch;
  const args = [socketPath, root, stateFolder, HELPER_PORT];
  const child = spawn(program, test ? [...args, "--test"] : args, {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  child.unref();
  const failed = once(child, "error").then(([error]: unknown[]) => {
    throw new Error(`the guest helper cannot be started: ${program}`, { cause: error });
  });
  // It closes its standard output once it listens.
  await Promise.race([text(child.stdout), failed]);
}

async function tryConnect(path: string): Promise<Socket | undefined> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return socket;
  } catch {
    return undefined;
  }
}
