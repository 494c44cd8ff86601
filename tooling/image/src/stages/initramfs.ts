import { chmod, copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BOOT_MODULES } from "../definition.ts";
import { digestText } from "../digest.ts";
import { findByName, inLoadOrder, parseModulesDep } from "../modules.ts";
import type { Stage, StageResult } from "../stage.ts";
import { kernelRelease } from "./platform.ts";

/** The small system that finds the disks. */
export const INITRAMFS = "initrd";

const INIT = fileURLToPath(new URL("../../guest/init", import.meta.url));

/** The stage that makes {@link INITRAMFS} from a platform. */
export async function initramfsStage(platform: StageResult): Promise<Stage> {
  return {
    name: "initramfs",
    title: "initramfs",
    inputs: {
      platform: basename(platform.directory),
      modules: BOOT_MODULES,
      init: await digestText(INIT),
      recipe: await digestText(import.meta.filename),
    },
    files: [INITRAMFS],
    async build(context) {
      const root = join(context.scratch, "root");
      const modules = join(platform.directory, "modules", await kernelRelease(platform.directory));
      for (const folder of ["bin", "dev", "modules", "proc", "root", "sys"]) {
        await mkdir(join(root, folder), { recursive: true });
      }
      await cp(join(platform.directory, "bin/busybox"), join(root, "bin/busybox"));
      await copyFile(INIT, join(root, "init"));
      await chmod(join(root, "init"), 0o755);

      const all = parseModulesDep(await readFile(join(modules, "modules.dep"), "utf8"));
      const paths = inLoadOrder(all, findByName(all, BOOT_MODULES));
      for (const path of paths) {
        await copyFile(join(modules, path), join(root, "modules", basename(path)));
      }
      const order = paths.map((path) => `${basename(path)}\n`).join("");
      await writeFile(join(root, "modules/order"), order);

      // Not compressed: it is a few megabytes that QEMU copies, and the guest would unpack slowly.
      const archive = join(context.directory, INITRAMFS);
      await context.run("sh", [
        "-c",
        'cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --create --format=newc --owner=0:0 --reproducible >"$2"',
        "sh",
        root,
        archive,
      ]);
      return [];
    },
  };
}
