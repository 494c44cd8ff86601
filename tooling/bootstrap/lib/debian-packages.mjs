import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { run } from "./run.mjs";
import { step } from "./terminal.mjs";

/** What building and running takes. */
export const RUNTIME_PACKAGES = [
  "cpio",
  "e2fsprogs",
  // The agent's helper does inside a machine what Node.js cannot; it is a small C program.
  "gcc",
  "iproute2",
  "kmod",
  "libc6-dev",
  "mmdebstrap",
  "nftables",
  // Signs access to machines by SSH.
  "openssh-client",
  "qemu-system-x86",
  "qemu-utils",
  "squashfs-tools",
  "zstd",
];

/**
 * What the tests take besides: a real database, a real browser, a real terminal,
 * and what machines have that the agent is tested with on this computer.
 */
export const TEST_PACKAGES = [
  "chromium",
  "corkscrew",
  "curl",
  "git",
  "less",
  "nginx-light",
  "openssl",
  "postgresql",
  "procps",
  // Compiles what a machine gets of Debian's Jupyter.
  "python3",
  "ripgrep",
  "rsync",
  "tmux",
  "vim",
];

/** What the measurements take besides: what machines are compared with. */
export const BENCH_PACKAGES = ["openssh-client", "rsync"];

/** Keeps the package from starting a database server: the tests start their own. */
const NO_CLUSTER = "/etc/postgresql-common/createcluster.d/nullspace-tests.conf";

const REMEDY =
  "Check that this machine reaches its Debian mirror (apt-get update) and run the command again.";

/**
 * Installs what is missing; does nothing, and asks no mirror, if nothing is.
 *
 * @param {readonly string[]} wanted
 * @param {AbortSignal} signal
 */
export async function ensureDebianPackages(wanted, signal) {
  const missing = await missingPackages(wanted);
  if (missing.length === 0) return;
  await step(`Debian packages: ${missing.join(", ")}`, async (detail) => {
    const options = { signal, detail, remedy: REMEDY, env: APT_ENVIRONMENT };
    // Finishes what a run that was cut off has left.
    await run("dpkg", ["--configure", "-a"], { ...options, log: "dpkg" });
    await run("apt-get", [...APT_OPTIONS, "update"], { ...options, log: "apt-update" });
    const withoutCluster = missing.includes("postgresql");
    if (withoutCluster) {
      await mkdir(dirname(NO_CLUSTER), { recursive: true });
      await writeFile(NO_CLUSTER, "create_main_cluster = false\n");
    }
    try {
      const install = ["install", "--yes", "--no-install-recommends", ...missing];
      await run("apt-get", [...APT_OPTIONS, ...install], { ...options, log: "apt-install" });
    } finally {
      if (withoutCluster) await rm(NO_CLUSTER, { force: true });
    }
  });
}

const APT_ENVIRONMENT = {
  ...process.env,
  DEBIAN_FRONTEND: "noninteractive",
  LC_ALL: "C.UTF-8",
  // Keeps packages from starting services: the tests start their own.
  RUNLEVEL: "1",
};
const APT_OPTIONS = ["--quiet", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];

/** @param {readonly string[]} wanted */
async function missingPackages(wanted) {
  const query = ["--show", "--showformat=${Package} ${db:Status-Status}\\n", ...wanted];
  // It ends with status 1 when it knows nothing of one of them, and still tells of the others.
  const output = await promisify(execFile)("dpkg-query", query).then(
    ({ stdout }) => stdout,
    (/** @type {{ code?: unknown, stdout?: string }} */ failure) => {
      if (failure.code !== 1) throw failure;
      return failure.stdout ?? "";
    },
  );
  return notInstalled(wanted, output);
}

/**
 * @param {readonly string[]} wanted
 * @param {string} output lines of a package's name and its state, as of `dpkg-query`
 */
export function notInstalled(wanted, output) {
  const installed = new Set(
    output
      .split("\n")
      .map((line) => line.split(" "))
      .filter(([, state]) => state === "installed")
      .map(([name]) => name),
  );
  return wanted.filter((name) => !installed.has(name));
}
