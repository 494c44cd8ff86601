import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { findProgram } from "../confinement/program.js";

const run = promisify(execFile);

/** The oldest that the saved state of devices was tried with. */
const OLDEST_MAJOR = 7;

/** An installed QEMU. */
export interface QemuBinary {
  path: string;
  /** As in "7.2.22". */
  version: string;
}

/**
 * Finds QEMU and asks it for its version.
 *
 * @param name - a path, or a name to look for in PATH.
 * @throws Fault QEMU_MISSING when there is none, or one that is too old.
 */
export async function findQemu(name: string): Promise<QemuBinary> {
  const path = await findProgram(name);
  if (path === undefined) throw missing(`${name} is not installed`);
  const { stdout } = await run(path, ["--version"], { timeout: 10_000 });
  const [, version, major] = /version ((\d+)\.\d+(?:\.\d+)?)/.exec(stdout) ?? [];
  if (version === undefined) throw missing(`${path} does not tell its version`);
  if (Number(major) < OLDEST_MAJOR)
    throw missing(`${path} is version ${version}, which is too old`);
  return { path, version };
}

function missing(message: string): Fault {
  return new Fault(ErrorReason.QEMU_MISSING, message, {
    remedy: `Install QEMU ${OLDEST_MAJOR} or newer: apt-get install qemu-system-x86`,
  });
}
