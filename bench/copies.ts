import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Bench } from "./bench.ts";
import { timed } from "./clock.ts";
import { interleave, type Side, side } from "./interleave.ts";
import type { Findings, Measurement, Ratio } from "./measurement.ts";
import { retrying } from "./retry.ts";
import { SshWay } from "./ssh-way.ts";
import { type Summary, summarise } from "./statistics.ts";

const MB = 1_000_000;
const LIMIT = 1;
const FILES_PER_FOLDER = 50;
/** Small files are up to this large, evenly spread. */
const MOST_SMALL_BYTES = 4096;

/** Files and folders of this computer into a machine and back, against what does so over ssh. */
export const copies: Measurement = {
  name: "copies",
  async run(bench: Bench): Promise<Findings> {
    const { quick, signal, note, home } = bench;
    const bytes = (quick ? 32 : 256) * MB;
    const files = quick ? 500 : 5000;
    await using stack = new AsyncDisposableStack();
    const local = await mkdtemp(join(home, "copies-"));
    stack.defer(() => rm(local, { recursive: true }));
    const large = join(local, "large");
    const tree = join(local, "tree");
    await writeLarge(large, bytes);
    await writeTree(tree, files);

    await using server = await bench.startServer();
    await using machine = await retrying(() => server.client.machines.create({ signal }), note);
    await using way = await SshWay.open(bench, machine);
    const inMachine = async (line: string) => {
      (await machine.commands.run(line, { signal })).orThrow();
    };
    const remote = (name: string) => `${way.target}:/workspace/${name}`;
    const rsync = ["-a", "-e", ["ssh", ...way.options].join(" ")];

    /** Times one copy; what it made is removed before the next. */
    const copy = (what: string, work: () => Promise<unknown>) =>
      side(async () => {
        const { ms } = await timed(work);
        note(`${what}: ${(ms / 1000).toFixed(1)} s`);
        await inMachine("rm -rf /workspace/put /workspace/put-tree");
        await rm(join(local, "got"), { recursive: true, force: true });
        return [ms];
      });
    const got = join(local, "got");
    const put = [
      copy("uploadFile", () => machine.files.uploadFile(large, "put")),
      copy("scp", () => way.local("scp", ["-q", ...way.options, large, remote("put")])),
    ] as const;
    const get = [
      copy("downloadFile", () => machine.files.downloadFile("large", got)),
      copy("scp", () => way.local("scp", ["-q", ...way.options, remote("large"), got])),
    ] as const;
    const putTree = [
      copy("uploadDir", () => machine.files.uploadDir(tree, "put-tree")),
      copy("rsync", () => way.local("rsync", [...rsync, `${tree}/`, remote("put-tree")])),
    ] as const;
    const getTree = [
      copy("downloadDir", () => machine.files.downloadDir("tree", got)),
      copy("rsync", () => way.local("rsync", [...rsync, `${remote("tree")}/`, got])),
    ] as const;
    await way.local("scp", ["-q", ...way.options, large, remote("large")]);
    await way.local("rsync", [...rsync, `${tree}/`, remote("tree")]);
    const rounds = { rounds: quick ? 2 : 3, warmUps: 0, signal };
    for (const pair of [put, get, putTree, getTree]) await interleave(pair, rounds);
    return {
      about: about(bytes, files),
      ratios: {
        put_vs_scp: ratioOf(put, "uploadFile / scp"),
        get_vs_scp: ratioOf(get, "downloadFile / scp"),
        tree_vs_rsync: ratioOf(putTree, "uploadDir / rsync -a"),
        tree_get_vs_rsync: ratioOf(getTree, "downloadDir / rsync -a"),
      },
      samples: {
        put_ms: inMs(put[0]),
        scp_put_ms: inMs(put[1]),
        get_ms: inMs(get[0]),
        scp_get_ms: inMs(get[1]),
        tree_put_ms: inMs(putTree[0]),
        rsync_put_ms: inMs(putTree[1]),
        tree_get_ms: inMs(getTree[0]),
        rsync_get_ms: inMs(getTree[1]),
      },
    };
  },
};

function inMs({ samples }: Side): Summary & { unit: "ms" } {
  return { ...summarise(samples), unit: "ms" };
}

function ratioOf([ours, theirs]: readonly [Side, Side], of: string): Ratio {
  return { value: inMs(ours).median / inMs(theirs).median, limit: LIMIT, of };
}

function about(bytes: number, files: number): string {
  return (
    `One file of ${bytes / MB} MB of random bytes, and a folder of ${files} files of up to ` +
    `${MOST_SMALL_BYTES} bytes, between this computer's disk and one machine, both ways, in turn: by the SDK, ` +
    "and by scp and rsync over one kept ssh connection, the machine's network card and a tap. What is there is " +
    "always a new copy."
  );
}

async function writeLarge(path: string, bytes: number): Promise<void> {
  for (let at = 0; at < bytes; at += MB) await writeFile(path, randomBytes(MB), { flag: "a" });
}

async function writeTree(path: string, files: number): Promise<void> {
  for (let count = 0; count < files; count++) {
    const folder = join(path, `folder-${Math.floor(count / FILES_PER_FOLDER)}`);
    if (count % FILES_PER_FOLDER === 0) await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `file-${count}`), randomBytes((count * 7919) % MOST_SMALL_BYTES));
  }
}
