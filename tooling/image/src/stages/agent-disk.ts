import { chmod, copyFile, cp, mkdir, readdir, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BuildError } from "../build-error.ts";
import { digestText } from "../digest.ts";
import type { Stage, StageResult } from "../stage.ts";

/** The read-only disk that is mounted at /opt/nullspace in every machine. */
export const AGENT_DISK = "agent.squashfs";

/** The file of a bundle that Node runs; what it needs lies beside it. */
const AGENT = "agent.mjs";

const SUPERVISE = fileURLToPath(new URL("../../guest/supervise", import.meta.url));

/**
 * The stage that makes {@link AGENT_DISK}.
 *
 * @param platform result of `platformStage`.
 * @param bundle folder of the agent's bundle.
 */
export async function agentDiskStage(platform: StageResult, bundle: string): Promise<Stage> {
  return {
    name: "agent",
    title: "agent disk",
    inputs: {
      platform: basename(platform.directory),
      bundle: await digestBundle(bundle),
      supervise: await digestText(SUPERVISE),
      recipe: await digestText(import.meta.filename),
    },
    files: [AGENT_DISK],
    async build(context) {
      const own = (name: string): string => join(context.scratch, name);
      await mkdir(own("sbin"));
      await cp(bundle, own("agent"), { recursive: true });
      await copyFile(SUPERVISE, own("sbin/supervise"));
      await chmod(own("sbin/supervise"), 0o755);
      await symlink("../bin/busybox", own("sbin/modprobe"));
      const folders = ["bin", "lib", "modules"].map((name) => join(platform.directory, name));
      await context.run("mksquashfs", [
        ...folders,
        own("agent"),
        own("sbin"),
        join(context.directory, AGENT_DISK),
        // Read once, while a template boots, and from memory ever after: quick beats small.
        "-comp",
        "lz4",
        "-noappend",
        "-all-root",
        "-no-xattrs",
        "-no-progress",
        "-mkfs-time",
        "0",
      ]);
      return [];
    },
  };
}

/** Name and digest of each file of the bundle. */
async function digestBundle(bundle: string): Promise<string[]> {
  try {
    const names = (await readdir(bundle)).toSorted();
    if (!names.includes(AGENT)) throw new Error(`${bundle} has no ${AGENT}`);
    return await Promise.all(
      names.map(async (name) => `${name} ${await digestText(join(bundle, name))}`),
    );
  } catch (cause) {
    throw new BuildError(`there is no agent's bundle in ${bundle}`, {
      remedy: "Build it first: pnpm --filter @nullspace/agent... run build (npm start does).",
      cause,
    });
  }
}
