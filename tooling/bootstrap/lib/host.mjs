import { readFile } from "node:fs/promises";
import { SetupError } from "./setup-error.mjs";

/** @throws {SetupError} if this is not a machine that Nullspace can be set up on */
export async function checkHost() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new SetupError(`Nullspace does not run on ${process.platform}/${process.arch} yet`, {
      remedy: "Use Debian on x86-64.",
    });
  }
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  if (!isDebian(release)) {
    throw new SetupError("this is not a Debian", {
      remedy:
        "Set up on Debian 12 or later; the packages and the image builder come from its archive.",
    });
  }
  if (process.getuid?.() !== 0) {
    throw new SetupError("set-up needs root: it installs packages and builds a root file system", {
      remedy: "Run the same command as root, for instance with sudo.",
    });
  }
}

/**
 * Whether an `/etc/os-release` is that of Debian or of a distribution made from it.
 *
 * @param {string} text
 */
export function isDebian(text) {
  const ids = [...text.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)"?$/gm)].map(([, value = ""]) => value);
  return ids.join(" ").split(" ").includes("debian");
}
