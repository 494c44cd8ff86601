import { spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import {
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DESCRIPTORS } from "./descriptors.js";
import { MAX_FILE_BYTES } from "../confinement/leaving-host.js";
import { MEMORY_PATH, memoryLibrary } from "./memory-library.js";

const O_ACCMODE = 0o3;
const O_RDONLY = 0;

async function startQemu(directory: string, flags: "r" | "r+", environment: NodeJS.ProcessEnv) {
  await using memory = await open(join(directory, "memory"), flags);
  const stdio: StdioOptions = ["ignore", "pipe", "pipe", "ignore", "ignore", memory.fd];
  const share = flags === "r" ? "off" : "on";
  const args =
    `-object memory-backend-file,id=ram,size=16M,mem-path=${MEMORY_PATH},share=${share}` +
    " -machine q35,memory-backend=ram -nodefaults -display none -S -qmp stdio" +
    " -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
  const qemu = spawn("qemu-system-x86_64", args.split(" "), { stdio, env: environment });
  onTestFinished(async () => {
    qemu.kill("SIGKILL");
    if (qemu.exitCode === null && qemu.signalCode === null) await once(qemu, "exit");
  });
  return qemu;
}

/** How the descriptors of a process that are open on `path` may be used. */
async function accessModes(pid: number, path: string): Promise<number[]> {
  const names = await readdir(`/proc/${pid}/fd`);
  const modes = names.map(async (name) => {
    // QEMU may close one of those that are not ours meanwhile.
    const target = await readlink(`/proc/${pid}/fd/${name}`).catch(() => undefined);
    if (target !== path) return [];
    const info = await readFile(`/proc/${pid}/fdinfo/${name}`, "utf8");
    return [Number.parseInt(/^flags:\s+(\d+)/m.exec(info)?.[1] ?? "", 8) & O_ACCMODE];
  });
  return (await Promise.all(modes)).flat();
}

async function scratch(): Promise<{ directory: string; environment: NodeJS.ProcessEnv }> {
  const directory = await mkdtemp(join(tmpdir(), "memory-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "memory"), "");
  await truncate(join(directory, "memory"), 16 * 1024 * 1024);
  const library = join(directory, "library.so");
  await writeFile(library, await memoryLibrary());
  return { directory, environment: { ...process.env, LD_PRELOAD: library } };
}

test("QEMU maps memory that it can only read", async () => {
  const { directory, environment } = await scratch();
  const qemu = await startQemu(directory, "r", environment);
  const greeting: unknown[] = await once(qemu.stdout ?? qemu, "data");
  expect(String(greeting[0])).toContain("QMP");
  const modes = await accessModes(qemu.pid ?? 0, join(directory, "memory"));
  expect(modes).toEqual([O_RDONLY, O_RDONLY]);
  expect(DESCRIPTORS.memory).toBe(5);
});

test("QEMU writes memory that it was given for writing", async () => {
  const { directory, environment } = await scratch();
  const qemu = await startQemu(directory, "r+", environment);
  const greeting: unknown[] = await once(qemu.stdout ?? qemu, "data");
  expect(String(greeting[0])).toContain("QMP");
});

test("QEMU gives up what no machine needs", async () => {
  const { directory, environment } = await scratch();
  const qemu = await startQemu(directory, "r", { ...environment, [MAX_FILE_BYTES]: "4096" });
  await once(qemu.stdout ?? qemu, "data");
  const limits = await readFile(`/proc/${qemu.pid}/limits`, "utf8");
  expect(limits).toMatch(/^Max file size +4096 +4096 /m);
  expect(limits).toMatch(/^Max core file size +0 +0 /m);
  expect(await readFile(`/proc/${qemu.pid}/status`, "utf8")).toMatch(/^NoNewPrivs:\s+1$/m);
});
