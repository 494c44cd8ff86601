import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder of the repository. */
export const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));

/** npm project that pins Node.js and pnpm. */
export const TOOLCHAIN = join(REPOSITORY, "tooling/bootstrap/toolchain");

/** Commands of the toolchain. */
export const TOOLCHAIN_BIN = join(TOOLCHAIN, "node_modules/.bin");

/** Node.js that everything but this bootstrap runs on. */
export const NODE = join(TOOLCHAIN_BIN, "node");

/** Logs of set-up steps. */
export const LOGS = join(REPOSITORY, "tooling/bootstrap/.logs");

/** Where the server keeps everything. */
export const DEFAULT_HOME = process.env["NULLSPACE_HOME"] ?? "/var/lib/nullspace";

/** The environment with the toolchain's and the workspace's commands before all others. */
export function toolEnvironment() {
  const path = [TOOLCHAIN_BIN, join(REPOSITORY, "node_modules/.bin"), process.env["PATH"]];
  return { ...process.env, PATH: path.join(":"), TURBO_TELEMETRY_DISABLED: "1" };
}
