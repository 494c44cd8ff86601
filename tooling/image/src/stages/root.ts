import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { promisify } from "node:util";
import { DEBIAN_SUITE, DISK_MB, ROOT_PACKAGES } from "../definition.ts";
import { digestText } from "../digest.ts";
import { MMDEBSTRAP_RECIPE, mmdebstrap } from "../mmdebstrap.ts";
import type { Stage } from "../stage.ts";

/** The root file system of template `base`, as a sparse raw disk. */
export const ROOT_DISK = "rootfs.ext4";

const CUSTOMIZE = fileURLToPath(new URL("../../guest/customize-root", import.meta.url));

/** The stage that makes {@link ROOT_DISK}. */
export async function rootStage(): Promise<Stage> {
  return {
    name: "root",
    title: "root file system",
    inputs: {
      suite: DEBIAN_SUITE,
      packages: ROOT_PACKAGES,
      diskMb: DISK_MB,
      customize: await digestText(CUSTOMIZE),
      recipe: await digestText(import.meta.filename),
      debian: await digestText(MMDEBSTRAP_RECIPE),
    },
    files: [ROOT_DISK],
    async build(context) {
      const root = join(context.scratch, "root");
      await mmdebstrap(context, {
        variant: "minbase",
        packages: ROOT_PACKAGES,
        target: root,
        options: [`--customize-hook=${CUSTOMIZE} "$1"`],
      });
      await context.run("mke2fs", [
        "-q",
        "-t",
        "ext4",
        "-L",
        "root",
        "-m",
        "0",
        // Lazy tables would be written by every machine's kernel, into every machine's disk.
        "-E",
        "lazy_itable_init=0,lazy_journal_init=1,nodiscard",
        "-d",
        root,
        join(context.directory, ROOT_DISK),
        `${DISK_MB}M`,
      ]);
      return await installedPackages(root, context.signal);
    },
  };
}

async function installedPackages(root: string, signal: AbortSignal): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    "dpkg-query",
    [`--admindir=${root}/var/lib/dpkg`, "--show", "--showformat=${Package} ${Version}\\n"],
    { signal },
  );
  return stdout.trim().split("\n");
}
