import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";

export interface HelperLaunch {
  /** The compiled helper. */
  program: string;
  /** Where it listens; one that listens there already is used. */
  socketPath: string;
  /** Privileged verbs do nothing, and the helper and its processes end with the agent. */
  test: boolean;
}

/** Connects to the helper at its socket, starting it first if none is there. */
export async function connectHelper(launch: HelperLaunch): Promise<Socket> {
  const running = await tryConnect(launch.socketPath);
  if (running !== undefined) return running;
  await start(launch);
  const socket = await tryConnect(launch.socketPath);
  if (socket === undefined)
    throw new Error(`the guest helper does not listen at ${launch.socketPath}`);
  return socket;
}

/** Starts the helper in a session of its own and resolves when it listens. */
async function start({ program, socketPath, test }: HelperLaunch): Promise<void> {
  const child = spawn(program, test ? [socketPath, "--test"] : [socketPath], {
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
