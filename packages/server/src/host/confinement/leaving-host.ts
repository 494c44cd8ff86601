import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { GuestUser } from "./user-pool.js";

/** What QEMU is started with: `native/qemu-confinement.c`, and `native/qemu-memory.c` beside it. */
export const CONFINING_LIBRARY = fileURLToPath(
  new URL("../../../dist/native/qemu-memory.so", import.meta.url),
);

/**
 * Variable with the size beyond which no file that QEMU writes grows. It bounds what a guest can
 * put into its console's log while no server is there to trim it.
 */
export const MAX_FILE_BYTES = "NULLSPACE_MAX_FILE_BYTES";

/** Nobody: for a look whether it can be done. */
const SOMEBODY: GuestUser = { uid: 65_534, gid: 65_534 };

/**
 * The variables by which the confining library makes a program that is started as root
 * another user's, in namespaces of its own: with no network, and no files but some to be read
 * and its working directory.
 *
 * @param readable - folders, links resolved.
 */
export function leavingHost(
  user: GuestUser,
  readable: readonly string[],
  { kvm, group }: { kvm: boolean; group: number | undefined },
): Record<string, string> {
  const ids = [user.uid, user.gid, ...(group === undefined ? [] : [group])];
  // One below another is there already.
  const folders = [...new Set(readable)].filter(
    (path) => !readable.some((other) => path !== other && path.startsWith(`${other}/`)),
  );
  const wrong = folders.find((path) => !path.startsWith("/") || path === "/" || path.includes(":"));
  if (wrong !== undefined) throw new Error(`QEMU cannot be shown the folder ${wrong}`);
  return {
    NULLSPACE_USER: ids.join(" "),
    NULLSPACE_READABLE: folders.join(":"),
    ...(kvm && { NULLSPACE_KVM: "1" }),
  };
}

/** Whether this process may start programs that {@link leavingHost} confines: by doing it once. */
export async function canLeaveHost(): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const folder = await mkdtemp(join(tmpdir(), "nullspace-view-"));
  try {
    const child = spawn("/bin/true", [], {
      cwd: folder,
      stdio: "ignore",
      env: {
        LD_PRELOAD: CONFINING_LIBRARY,
        [MAX_FILE_BYTES]: "0",
        ...leavingHost(SOMEBODY, [dirname(CONFINING_LIBRARY)], { kvm: false, group: undefined }),
      },
    });
    await once(child, "exit");
    return child.exitCode === 0;
  } finally {
    await rm(folder, { recursive: true });
  }
}
