import { randomUUID } from "node:crypto";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import type { ClientHttp2Session } from "node:http2";
import { join } from "node:path";
import { helperFrame } from "@nullspace/proto/adoption";
import {
  AGENT_SOCKET,
  type AgentLink,
  commandLine,
  connectUnix,
  emptyOverlay,
  encodeTable,
  HELPER_SOCKET,
  launch,
  linkAgent,
  RESTORE_URI,
  RunningQemu,
  systemClient,
} from "@nullspace/server/internal";
import type { SnapshotSource } from "./snapshot-source.ts";

/** Longest time of each step, in milliseconds: only a failure takes so long. */
const STEP_MS = 60_000;

/**
 * A QEMU with nothing around it: no server, no confinement, no adoption. It is restored from the
 * same files by the same command line as the server's machines. Disposing ends it.
 */
export class BareQemu implements AsyncDisposable {
  readonly #qemu: RunningQemu;
  readonly #link: AgentLink;
  readonly #directory: string;

  private constructor(qemu: RunningQemu, link: AgentLink, directory: string) {
    this.#qemu = qemu;
    this.#link = link;
    this.#directory = directory;
  }

  /** Restores a guest and resolves when its agent has answered a ping. */
  static async restore(source: SnapshotSource): Promise<BareQemu> {
    const directory = await mkdtemp(join(source.folder, "qemu-"));
    const deadline = { timeoutMs: STEP_MS };
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rm(directory, { recursive: true, force: true }));

    const { qemu, channelKey } = await startQemu(source, directory);
    stack.defer(() => qemu.process.kill());
    const helper = await connectUnix(directory, HELPER_SOCKET, deadline);
    stack.defer(() => {
      helper.destroy();
    });
    const socket = await connectUnix(directory, AGENT_SOCKET, deadline);
    stack.defer(() => {
      socket.destroy();
    });
    const resumed = qemu.qmp.once("RESUME", deadline);
    await Promise.all([
      resumed,
      qemu.qmp.execute("migrate-incoming", { uri: RESTORE_URI }, deadline),
    ]);
    // The programs of a snapshot stand still until they are told to go on.
    helper.write(helperFrame(["bench", "release"]));
    const link = await linkAgent(socket, channelKey, deadline);
    await systemClient(link.session).ping({});
    stack.move();
    return new BareQemu(qemu, link, directory);
  }

  /** HTTP/2 on the agent's own socket. */
  get session(): ClientHttp2Session {
    return this.#link.session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#link.close();
    await this.#qemu.process.kill();
    await this.#qemu.qmp[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function startQemu(
  source: SnapshotSource,
  directory: string,
): Promise<{ qemu: RunningQemu; channelKey: Uint8Array }> {
  await using snapshot = await source.store.open(source.id, () => undefined);
  const { vcpus, memoryMb, diskMb, channelKey } = snapshot.manifest;
  const { layers } = snapshot;
  const disk = join(directory, "disk.qcow2");
  const table = join(directory, "memory.table");
  await writeFile(table, encodeTable(snapshot.memoryRuns));
  await using memoryTable = await open(table, "r");
  await writeFile(disk, emptyOverlay(diskMb, { path: "snapshot", format: "qcow2" }));
  await using ownDisk = await open(disk, "r+");
  await using console = await open(join(directory, "console.log"), "a");
  const { process, monitor } = await launch({
    program: [source.qemu.path],
    args: commandLine({
      platform: { accelerator: source.accelerator, cpuModel: source.cpuModel },
      size: { vcpus, memoryMb },
      name: "bare",
      generationId: randomUUID(),
      layers: { memory: layers.memory.length, disks: layers.disks.length },
    }),
    directory,
    files: { ...snapshot.files, memoryTable, disk: ownDisk, console },
    layers,
    user: undefined,
    environment: { PATH: "/usr/bin:/bin", LC_ALL: "C", LD_PRELOAD: source.library },
  });
  const qemu = await RunningQemu.open(process, monitor, directory, { timeoutMs: STEP_MS });
  return { qemu, channelKey };
}
