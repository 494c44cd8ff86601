import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { readFile, stat } from "node:fs/promises";
import { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { within } from "../deadline.js";
import { hasCode, replaceFile } from "../durable-files.js";
import type { Accelerator, Platform } from "./command-line.js";
import { chooseCpuModel, EMULATED_CPU_MODEL } from "./cpu-model.js";
import { isObject, ShapeError, stringOf } from "./qmp/json.js";
import { QmpClient } from "./qmp/qmp-client.js";

const KVM_DEVICE = "/dev/kvm";
/** The kernel's first words take a few milliseconds where KVM works, and never come where it does not. */
const FIRST_WORDS_MS = 2_000;
/** For the rest: until the kernel finds no root file system, which is where the test ends. */
const BOOT_MS = 15_000;
const QEMU_READY_MS = 10_000;

/** What this host runs its machines on, and why. */
export interface Acceleration extends Platform {
  /** For people: why this accelerator. */
  reason: string;
}

/** What the choice is made with. */
export interface AccelerationTest {
  /** Starts QEMU with the rights that machines have: program and first arguments, user. */
  program: readonly string[];
  user: { uid: number; gid: number } | undefined;
  /** The kernel that machines boot, and its folder: QEMU need not be able to find its way there. */
  kernel: string;
  directory: string;
  /** Where the choice is remembered for as long as this host is up. */
  cacheFile: string;
  /** Whatever the choice depends on besides: the version of QEMU, the kernel's digest. */
  fingerprint: string;
}

/**
 * Chooses the accelerator by booting the machines' own kernel with KVM. There are
 * hosts whose `/dev/kvm` opens, creates a virtual machine and even runs a boot
 * sector, yet never gets through the start of an ordinary kernel.
 */
export async function chooseAcceleration(test: AccelerationTest): Promise<Acceleration> {
  const key = `${await bootId()} ${await deviceState()} ${test.fingerprint}`;
  const cached = await readCache(test.cacheFile, key);
  if (cached !== undefined) return cached;
  const choice = await tryKvm(test);
  const contents = JSON.stringify({ key, ...choice }, null, 2);
  await replaceFile(test.cacheFile, `${contents}\n`, { mode: 0o600, durable: false });
  return choice;
}

async function tryKvm(test: AccelerationTest): Promise<Acceleration> {
  if ((await deviceState()) === "absent") return emulation(`${KVM_DEVICE} does not exist`);
  try {
    const cpuModel = await findCpuModel(test);
    await bootKernel(test, cpuModel);
    return { accelerator: "kvm", cpuModel, reason: "KVM booted a kernel." };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return emulation(`KVM did not boot a kernel: ${error.message}`);
  }
}

function emulation(why: string): Acceleration {
  return {
    accelerator: "tcg",
    cpuModel: EMULATED_CPU_MODEL,
    reason: `Software emulation, because ${why}.`,
  };
}

/** Also the first test: QEMU does not even get ready where the device cannot be opened. */
async function findCpuModel(test: AccelerationTest): Promise<string> {
  const args = "-machine none,accel=kvm -S -nodefaults -display none -chardev socket,id=qmp,fd=3";
  const qemu = start(test, [...args.split(" "), "-mon", "chardev=qmp,mode=control"]);
  try {
    const monitor = qemu.stdio[3];
    if (!(monitor instanceof Socket)) throw new Error("QEMU has no monitor");
    const words = qemu.stderr === null ? Promise.resolve("") : text(qemu.stderr);
    try {
      await using qmp = await QmpClient.open(monitor, { timeoutMs: QEMU_READY_MS });
      return chooseCpuModel(await qmp.execute("query-cpu-definitions", {}));
    } catch (error) {
      await stop(qemu);
      // It says why on its standard error, if at all.
      const why = (await words)
        .trim()
        .split("\n")
        .at(-1)
        ?.replace(/^[^:]*qemu[^:]*: /, "");
      throw why ? new Error(why, { cause: error }) : error;
    }
  } finally {
    await stop(qemu);
  }
}

async function bootKernel(test: AccelerationTest, cpuModel: string): Promise<void> {
  const args =
    `-machine q35,accel=kvm -cpu ${cpuModel} -m 256M -nodefaults -display none -no-reboot` +
    ` -chardev stdio,id=console,signal=off -serial chardev:console -kernel ${test.kernel}`;
  const kernelArguments = "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1";
  const qemu = start(test, [...args.split(" "), "-append", kernelArguments]);
  qemu.stderr?.resume();
  try {
    const firstWords = untilPrinted(qemu, "Linux version");
    const lastWords = untilPrinted(qemu, "Kernel panic - not syncing");
    await within(firstWords, "the kernel's first words", { timeoutMs: FIRST_WORDS_MS });
    await within(lastWords, "the kernel to look for its disk", { timeoutMs: BOOT_MS });
  } finally {
    await stop(qemu);
  }
}

/** Waits until the guest has printed `marker` on its console. */
function untilPrinted(qemu: ChildProcess, marker: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let tail = "";
  qemu.stdout?.on("data", (chunk: Buffer) => {
    const printed = tail + chunk.toString("latin1");
    if (printed.includes(marker)) resolve();
    tail = printed.slice(-marker.length);
  });
  qemu.once("error", reject);
  qemu.once("exit", () => reject(new Error("QEMU ended")));
  // Whoever waits for an earlier marker fails first.
  promise.catch(() => undefined);
  return promise;
}

function start(test: AccelerationTest, args: readonly string[]): ChildProcess {
  const [command = "", ...before] = test.program;
  const stdio: StdioOptions = ["ignore", "pipe", "pipe", "pipe"];
  const qemu = spawn(command, [...before, ...args], { stdio, cwd: test.directory, ...test.user });
  qemu.stderr?.on("error", () => undefined);
  // A program that cannot be started shows as a monitor or a console that says nothing.
  qemu.on("error", () => undefined);
  return qemu;
}

async function stop(qemu: ChildProcess): Promise<void> {
  if (qemu.pid === undefined || qemu.exitCode !== null || qemu.signalCode !== null) return;
  const exit = once(qemu, "exit");
  qemu.kill("SIGKILL");
  await exit;
}

async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

/** What decides who may open the device; "absent" when there is none. */
async function deviceState(): Promise<string> {
  try {
    const { uid, gid, mode } = await stat(KVM_DEVICE);
    return `${uid}:${gid}:${mode.toString(8)}`;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "absent";
    throw error;
  }
}

async function readCache(path: string, key: string): Promise<Acceleration | undefined> {
  try {
    const cached: unknown = JSON.parse(await readFile(path, "utf8"));
    if (!isObject(cached) || cached.key !== key) return undefined;
    const accelerator: Accelerator = cached.accelerator === "kvm" ? "kvm" : "tcg";
    return {
      accelerator,
      cpuModel: stringOf(cached, "cpuModel"),
      reason: stringOf(cached, "reason"),
    };
  } catch (error) {
    // A choice that cannot be read is made again.
    if (hasCode(error, "ENOENT") || error instanceof SyntaxError || error instanceof ShapeError) {
      return undefined;
    }
    throw error;
  }
}
