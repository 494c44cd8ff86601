import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Machine } from "@nullspace/sdk";

const run = promisify(execFile);

/** Debian's Jupyter with its own page. */
const PACKAGE = "python3-notebook";
/** What it depends on and does without: a debugger, completion, formulas, exports. */
const LEFT_OUT = [
  "fonts-mathjax",
  "libjs-mathjax",
  "python3-debugpy",
  "python3-jedi",
  "python3-lxml",
];
/** Of what is left nobody looks at this, and all of it travels to the machine. */
const UNSEEN = [
  "usr/share/doc",
  "usr/share/man",
  "usr/share/nodejs",
  "usr/lib/python3/dist-packages/setuptools",
  "... tests",
  "usr/lib/python3/dist-packages/notebook/i18n/*/LC_MESSAGES",
  "... *.map",
];
/**
 * The page lists the formats that a notebook can be exported to, and for one of them this is
 * imported. The real one brings 40 MB of Unicode's tables.
 */
const NO_EXPORTS = `def clean_html(html):
    raise NotImplementedError("exports were left out")
`;
/** How apt is told that it need not bring them. */
const PRETENDED = LEFT_OUT.map((name) =>
  [
    `Package: ${name}`,
    "Status: install ok installed",
    "Maintainer: nobody",
    "Architecture: all",
    "Multi-Arch: foreign",
    "Version: 99",
    "Description: left out\n",
  ].join("\n"),
).join("\n");

/** Has Debian's Jupyter in a machine, as if it were installed there: a layer over its `/usr`. */
export async function addJupyter(machine: Machine, cache: string): Promise<void> {
  const installed = await machine.files.read("/var/lib/dpkg/status");
  await machine.files.uploadFile(await jupyterLayer(installed, cache), "/opt/jupyter.squashfs");
  const mount = [
    "mkdir /opt/jupyter",
    "mount -o loop /opt/jupyter.squashfs /opt/jupyter",
    "mount -t overlay -o lowerdir=/opt/jupyter/usr:/usr overlay /usr",
  ].join(" && ");
  (await machine.commands.run(mount, { user: "root" })).orThrow();
}

/**
 * Makes the layer of what a machine lacks, unless it has been made before. Nothing of it is
 * installed on this computer.
 *
 * @param installed - what the machine has, as dpkg knows it.
 * @returns Path of a squashfs.
 */
async function jupyterLayer(installed: string, cache: string): Promise<string> {
  const status = `${installed}\n${PRETENDED}`;
  const digest = createHash("sha256")
    .update(PACKAGE)
    .update(UNSEEN.join())
    .update(status)
    .digest("hex")
    .slice(0, 16);
  const layer = join(cache, `jupyter-${digest}.squashfs`);
  if (await exists(layer)) return layer;
  const folder = await mkdtemp(join(tmpdir(), "nullspace-jupyter-"));
  try {
    const tree = join(folder, "tree");
    await mkdir(tree);
    await unpack(await download(status, folder), tree);
    const modules = join(tree, "usr/lib/python3/dist-packages");
    await mkdir(join(modules, "lxml/html"), { recursive: true });
    await writeFile(join(modules, "lxml/html/clean.py"), NO_EXPORTS);
    // A machine that is emulated compiles them a hundred times slower.
    await run("python3", ["-m", "compileall", "-q", "-j", "0", modules]);
    const made = join(folder, "layer");
    const how = ["-comp", "zstd", "-Xcompression-level", "12", "-b", "256K", "-all-root"];
    const without = ["-wildcards", "-e", ...UNSEEN];
    await run("mksquashfs", [tree, made, ...how, "-no-progress", "-quiet", ...without]);
    await mkdir(cache, { recursive: true });
    await run("cp", [made, `${layer}.part`]);
    await rename(`${layer}.part`, layer);
    return layer;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** @returns Paths of packages, verified by apt. */
async function download(status: string, folder: string): Promise<string[]> {
  const [statusFile, archives] = [join(folder, "status"), join(folder, "archives")];
  await writeFile(statusFile, status);
  await mkdir(join(archives, "partial"), { recursive: true });
  const options = {
    "Dir::State::status": statusFile,
    "Dir::Cache::archives": archives,
    // It is another system's state: this one's is neither read nor locked.
    "Debug::NoLocking": "1",
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  // What the lists of long ago name, mirrors may have no more.
  await run("apt-get", ["update"]);
  const install = ["install", "--yes", "--download-only", "--no-install-recommends", PACKAGE];
  await run("apt-get", [...flags, ...install]);
  const names = await readdir(archives);
  return names.filter((name) => name.endsWith(".deb")).map((name) => join(archives, name));
}

async function unpack(packages: readonly string[], tree: string): Promise<void> {
  for (const path of packages) await run("dpkg-deb", ["--extract", path, tree]);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A notebook with one cell that has not run yet. */
export function notebook(source: string): string {
  const cell = { cell_type: "code", execution_count: null, metadata: {}, outputs: [], source };
  const kernelspec = { display_name: "Python 3", language: "python", name: "python3" };
  const metadata = { kernelspec };
  return JSON.stringify({ cells: [cell], metadata, nbformat: 4, nbformat_minor: 4 });
}
