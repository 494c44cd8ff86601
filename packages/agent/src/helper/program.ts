import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Path of the compiled guest helper: beside the bundle, or in the package's build. */
export function helperProgram(): string {
  const beside = fileURLToPath(new URL("./guest-helper", import.meta.url));
  // Not bundled, this file is src/helper/program.ts or dist/helper/program.js.
  return existsSync(beside)
    ? beside
    : fileURLToPath(new URL("../../dist/bundle/guest-helper", import.meta.url));
}

/** Path of the compiled program of the channel, beside the helper. */
export function channelProgram(): string {
  return join(dirname(helperProgram()), "channel-pump");
}
