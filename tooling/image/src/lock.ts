import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

/** `flock --conflict-exit-code`: somebody else has it. */
const CONFLICT = 75;

/**
 * Takes an exclusive lock on a file, waiting for whoever has it. The lock
 * belongs to a `flock` process that ends when its standard input closes, so it
 * is free as soon as this process is gone, however it went.
 *
 * @param onWait called once if somebody else holds the lock.
 */
export async function acquireLock(
  path: string,
  signal: AbortSignal,
  onWait: () => void,
): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  const held = await tryLock(path, ["--nonblock"], signal);
  if (held !== undefined) return held;
  onWait();
  const waited = await tryLock(path, [], signal);
  if (waited === undefined) throw new Error(`flock did not lock ${path}`);
  return waited;
}

async function tryLock(
  path: string,
  flags: readonly string[],
  signal: AbortSignal,
): Promise<AsyncDisposable | undefined> {
  signal.throwIfAborted();
  const holder = spawn(
    "flock",
    [...flags, "--conflict-exit-code", String(CONFLICT), path, "sh", "-c", "echo locked; exec cat"],
    { stdio: ["pipe", "pipe", "inherit"], detached: true },
  );
  const closed = once(holder, "close");
  const abort = (): void => {
    holder.stdin.end();
    holder.kill();
  };
  signal.addEventListener("abort", abort, { once: true });
  const locked = once(holder.stdout, "data").then(() => true);
  const outcome = await Promise.race([locked, closed]).finally(() =>
    signal.removeEventListener("abort", abort),
  );
  signal.throwIfAborted();
  if (outcome !== true) {
    if (holder.exitCode === CONFLICT) return undefined;
    throw new Error(`flock ${path} ended with status ${holder.exitCode ?? holder.signalCode}`);
  }
  return {
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await closed;
    },
  };
}
