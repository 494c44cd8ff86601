import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parseJson } from "./json.mjs";
import { NODE, REPOSITORY, toolEnvironment } from "./paths.mjs";
import { endOnAbort } from "./run.mjs";
import { SetupError } from "./setup-error.mjs";

/** @typedef {{ digest: string, directory: string, reused: boolean }} GuestImage */

/**
 * Builds the guest image into a home, unless it is there. The builder shows its
 * own progress and says itself what failed.
 *
 * @param {string} home
 * @param {string} cache folder of its parts; one cache serves any number of homes
 * @param {AbortSignal} signal
 * @returns {Promise<GuestImage>}
 */
export async function ensureGuestImage(home, cache, signal) {
  signal.throwIfAborted();
  process.stderr.write("Guest image\n");
  const builder = join(REPOSITORY, "tooling/image/src/main.ts");
  const child = spawn(NODE, [builder, "--home", home, "--cache", cache, "--json"], {
    env: toolEnvironment(),
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const release = endOnAbort(child, signal);
  const [output] = await Promise.all([text(child.stdout), once(child, "close")]).finally(release);
  signal.throwIfAborted();
  if (child.exitCode !== 0) {
    throw new SetupError("the guest image was not built", {
      remedy: "What failed and what to do about it stands above.",
    });
  }
  return parseJson(output);
}
