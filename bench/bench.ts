import { mkdir, readdir, readFile, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { BenchServer } from "./bench-server.ts";
import { retrying } from "./retry.ts";
import { SnapshotSource } from "./snapshot-source.ts";

export interface BenchOptions {
  /** Home with the guest image: nothing in it but the folder `bench` is touched. */
  home: string;
  /** Fewer samples and smaller files. */
  quick: boolean;
  /** Larger files, and every machine real where records would do. */
  full: boolean;
  signal: AbortSignal;
  /** Tells people what is being done. */
  note: (text: string) => void;
}

/** What measurements work with: a home of their own, and servers and snapshots in it. */
export class Bench implements AsyncDisposable {
  readonly quick: boolean;
  readonly full: boolean;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
  /** Home of the servers; emptied when this is disposed of. */
  readonly home: string;
  readonly snapshot: SnapshotSource;

  private constructor(options: BenchOptions, home: string, snapshot: SnapshotSource) {
    this.quick = options.quick;
    this.full = options.full;
    this.signal = options.signal;
    this.note = options.note;
    this.home = home;
    this.snapshot = snapshot;
  }

  /**
   * Makes the home, and captures the template if no former run has. A second run at the same time
   * fails: it finds the home taken.
   */
  static async open(options: BenchOptions): Promise<Bench> {
    const home = join(options.home, "bench");
    await mkdir(home, { recursive: true });
    await linkImages(join(home, "images"));
    options.note("a first machine: captures the template if need be");
    const id = await captureTemplate(home, options);
    return new Bench(options, home, await SnapshotSource.open(home, id));
  }

  /** Starts a server in the home, and waits until it is ready. */
  async startServer(args: readonly string[] = []): Promise<BenchServer> {
    return await BenchServer.start(this.home, args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Snapshots are kept for the next run: it would have to boot a guest for half a minute.
    for (const name of await readdir(this.home)) {
      if (name !== "snapshots") await rm(join(this.home, name), { recursive: true });
    }
  }
}

async function linkImages(path: string): Promise<void> {
  await rm(path, { force: true });
  await symlink("../images", path);
}

/** @returns Which snapshot machines are made from. */
async function captureTemplate(home: string, { signal, note }: BenchOptions): Promise<string> {
  await using server = await BenchServer.start(home);
  const { machines } = server.client;
  await using machine = await retrying(() => machines.create({ signal }), note);
  const record = await readFile(join(home, "machines", machine.id, "machine.json"), "utf8");
  const manifest: unknown = JSON.parse(record);
  const id: unknown =
    typeof manifest === "object" && manifest !== null && Reflect.get(manifest, "snapshotId");
  if (typeof id !== "string") throw new Error("the machine's record names no snapshot");
  return id;
}
