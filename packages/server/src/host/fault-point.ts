/** Where a test ends this process, or fills the disk: `<name>` or `<name>:ENOSPC`. */
const CHOSEN = process.env["NULLSPACE_FAULT_POINT"] ?? "";

/** The steps of a capture at which a server may end and leave work to the next. */
export type FaultPoint =
  | "capture-prepared"
  | "capture-precopied"
  | "capture-stopped"
  | "capture-copied"
  | "capture-sealed"
  | "capture-going-on"
  | "capture-moved"
  | "capture-written"
  | "capture-published"
  | "start-launched"
  | "start-restored"
  | "start-network-noted"
  | "start-adopted";

/**
 * Nothing, unless a test has chosen this point by the environment: then the process ends as
 * `kill -9` would end it, or the step fails as on a full disk.
 */
export function faultPoint(name: FaultPoint): void {
  if (CHOSEN === name) process.kill(process.pid, "SIGKILL");
  if (CHOSEN !== `${name}:ENOSPC`) return;
  throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
}
