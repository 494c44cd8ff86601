import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Machine } from "@nullspace/sdk";
import { MONITOR_SOCKET, NETWORK_CARD_ID } from "@nullspace/server/internal";
import type { Bench } from "./bench.ts";

const run = promisify(execFile);

/** Hub of QEMU's that every machine's network card hangs on. */
const HUB = "0";
const TAP = "bench0";
/** Addresses for documentation: they are nobody's. */
const HOST_ADDRESS = "198.51.100.1/30";
const GUEST_ADDRESS = "198.51.100.2";
const USER = "user";
const SOURCE = join(import.meta.dirname, "native/attach-tap.c");

/** A server in the machine, of nothing but what a login takes; its key is made after the machine's start. */
const SERVE = `
set -e
until [ -e /etc/ssh/ssh_host_ed25519_key.pub ]; do sleep 0.1; done
ip address add ${GUEST_ADDRESS}/30 dev eth0
ip link set eth0 up
mkdir -p /run/sshd
cat > /run/bench_keys
/usr/sbin/sshd -o ListenAddress=${GUEST_ADDRESS} -o AuthorizedKeysFile=/run/bench_keys -o UseDNS=no
`;

/**
 * What people use who have a network and no agent: OpenSSH's own server in a machine, reached
 * over the machine's network card and a tap device, with one connection kept (ControlMaster).
 * Host and guest are alone in a network namespace. Needs root.
 */
export class SshWay implements AsyncDisposable {
  /** Whom to name to `ssh`, `scp` and `rsync`. */
  readonly target = `${USER}@${GUEST_ADDRESS}`;
  /** Options that make `ssh` and `scp` use the kept connection. */
  readonly options: readonly string[];

  readonly #stack: AsyncDisposableStack;

  private constructor(directory: string, stack: AsyncDisposableStack) {
    this.#stack = stack;
    this.options = ["-o", `ControlPath=${join(directory, "control")}`, "-o", "BatchMode=yes"];
  }

  static async open({ home, signal }: Bench, machine: Machine): Promise<SshWay> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(join(home, "ssh-"));
    stack.defer(() => rm(directory, { recursive: true }));

    const namespace = `nullspace-bench-${process.pid}`;
    await run("ip", ["netns", "add", namespace]);
    stack.defer(async () => void (await run("ip", ["netns", "delete", namespace])));
    const inside = (...command: string[]) =>
      run("ip", ["netns", "exec", namespace, ...command], { signal });

    const attach = join(directory, "attach-tap");
    await run("gcc", ["-O1", "-Wall", SOURCE, "-o", attach]);
    const monitor = join(home, "machines", machine.id, MONITOR_SOCKET);
    await inside(attach, monitor, TAP, HUB, NETWORK_CARD_ID);
    await inside("ip", "address", "add", HOST_ADDRESS, "dev", TAP);
    await inside("ip", "link", "set", TAP, "up");

    const key = join(directory, "key");
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    const served = await machine.commands.run(SERVE, {
      user: "root",
      stdin: await readFile(`${key}.pub`),
      signal,
    });
    served.orThrow();

    const way = new SshWay(directory, stack.move());
    try {
      const master = ["-M", "-N", "-f", "-i", key, "-o", "StrictHostKeyChecking=no"];
      const apart = ["-F", "none", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"];
      await inside("ssh", ...way.options, ...master, ...apart, way.target);
      way.#stack.defer(async () => {
        await run("ssh", [...way.options, "-O", "exit", way.target]);
      });
      return way;
    } catch (error) {
      await way[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a program of this computer to its end. */
  async local(program: string, args: readonly string[]): Promise<void> {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    await once(child, "close");
    if (child.exitCode !== 0) throw new Error(`${program} ended with ${child.exitCode}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}
