import { readdirSync, readFileSync } from "node:fs";
import { appendFile, chmod, mkdir, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { FileEventType, type WatchResponse } from "@nullspace/proto/agent";
import { assert, integer, property } from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { reasonOf } from "../testing/output.js";
import { EventReader } from "./watching.js";

let agent: TestAgent;
let host: Host;
let folder: string;
let caller: AbortController;

beforeAll(async () => {
  agent = await startTestAgent();
  host = await agent.dial();
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});
let count = 0;
beforeEach(async () => {
  folder = join(agent.folder, `watch-${count++}`);
  await mkdir(folder);
  caller = new AbortController();
});
afterEach(() => caller.abort());

const at = (...parts: string[]) => join(folder, ...parts);

/** What is told of a watch, as lines; `until` reads on to one of them. */
async function watch(path: string, recursive = true) {
  const stream = host.file.watch({ path, recursive }, caller);
  const responses = stream[Symbol.asyncIterator]();
  const lines: string[] = [];
  const read = async () => {
    const result: IteratorResult<WatchResponse, unknown> = await responses.next();
    if (result.done === true) return lines.push("end");
    if (result.value.resyncRequired) lines.push("resync");
    for (const event of result.value.events) {
      const short = (whole: string) => whole.slice(folder.length + 1) || ".";
      const from = event.oldPath === "" ? "" : `${short(event.oldPath)} > `;
      const line = `${FileEventType[event.type]} ${from}${short(event.path)}${event.isDirectory ? "/" : ""}`;
      // How often the kernel tells of one change is its own affair.
      if (lines.at(-1) !== line) lines.push(line);
    }
    return lines.length;
  };
  await read();
  return {
    lines,
    until: async (line: string) => {
      while (!lines.includes(line)) await read();
      return lines.splice(0, lines.indexOf(line) + 1);
    },
  };
}

describe("Watch", () => {
  test("tells of files that are made, changed, renamed and removed", async () => {
    const { until } = await watch(folder);
    await writeFile(at("a"), "1");
    expect(await until("MODIFIED a")).toEqual(["CREATED a", "MODIFIED a"]);
    await appendFile(at("a"), "2");
    await rename(at("a"), at("b"));
    await unlink(at("b"));
    expect(await until("REMOVED b")).toEqual(["MODIFIED a", "RENAMED a > b", "REMOVED b"]);
    await symlink("nowhere", at("link"));
    await writeFile(at("x\ny"), "");
    await chmod(at("x\ny"), 0o600);
    expect(await until("MODIFIED x\ny")).toContain("CREATED link");
  });

  test("what the files' own calls do looks like one change, by its proper name", async () => {
    const { until } = await watch(folder);
    const write = (text: string) => host.file.write({ path: at("file"), data: Buffer.from(text) });
    await write("new");
    await write("replaced");
    await host.file.copy({ from: at("file"), to: at("copy") });
    expect(await until("CREATED copy")).toEqual(["CREATED file", "MODIFIED file", "CREATED copy"]);
  });

  test("knows of everything in folders that appear later, however deep, once", async () => {
    const { until } = await watch(folder);
    const deep = Array.from({ length: 60 }, (_, i) => `level ${i}`).join("/");
    await mkdir(at(deep), { recursive: true });
    await writeFile(at(deep, "file"), "");
    const lines = await until(`CREATED ${deep}/file`);
    expect(lines).toHaveLength(61);
    await writeFile(at(deep, "second"), "");
    await until(`CREATED ${deep}/second`);
    await rm(at("level 0"), { recursive: true });
    const removed = await until("REMOVED level 0/");
    expect(removed).toContain(`REMOVED ${deep}/file`);
  });

  test("follows folders that are renamed, and lets go of those that leave", async () => {
    await mkdir(at("in/old/sub"), { recursive: true });
    const { until, lines } = await watch(at("in"));
    await rename(at("in/old"), at("in/new"));
    await writeFile(at("in/new/sub/file"), "");
    expect(await until("CREATED in/new/sub/file")).toEqual([
      "RENAMED in/old > in/new/",
      "CREATED in/new/sub/file",
    ]);
    await rename(at("in/new"), at("gone"));
    await until("REMOVED in/new/");
    await writeFile(at("gone/sub/other"), "");
    await rename(at("gone"), at("in/back"));
    expect(await until("CREATED in/back/sub/file")).toContain("CREATED in/back/");
    expect(lines.join()).not.toContain("gone");
  });

  test("of one folder only, or of one file that programs replace", async () => {
    await mkdir(at("sub"));
    await writeFile(at("file"), "");
    const one = await watch(folder, false);
    const file = await watch(at("file"), false);
    await writeFile(at("sub/unseen"), "");
    await writeFile(at("other"), "");
    await rename(at("other"), at("file"));
    await unlink(at("file"));
    expect(await one.until("REMOVED file")).toContain("RENAMED other > file");
    const seen = await file.until("REMOVED file");
    expect(seen).toEqual(["MODIFIED file", "REMOVED file"]);
  });

  test("ends when the folder itself goes", async () => {
    await mkdir(at("sub"));
    const { until } = await watch(at("sub"));
    await rm(at("sub"), { recursive: true });
    expect(await until("end")).toEqual(["REMOVED sub/", "end"]);
  });

  test("says when events were lost, and goes on", async () => {
    await mkdir(at("sub"));
    const { until } = await watch(folder);
    const pid = watcherPid();
    process.kill(pid, "SIGSTOP");
    for (let i = 0; i < 17_000; i += 100) {
      const names = Array.from({ length: 100 }, (_, n) => at("sub", `file ${i + n}`));
      await Promise.all(names.map((name) => writeFile(name, "")));
    }
    process.kill(pid, "SIGCONT");
    await until("resync");
    await writeFile(at("sub", "afterwards"), "");
    expect(await until("CREATED sub/afterwards")).toContain("CREATED sub/afterwards");
  }, 30_000);

  test("leaves no watcher behind", async () => {
    const { until } = await watch(folder);
    await writeFile(at("a"), "");
    await until("CREATED a");
    const pid = watcherPid();
    caller.abort();
    await expect.poll(() => watchers().includes(pid), { timeout: 4000 }).toBe(false);
    expect((await host.process.list({})).processes).toEqual([]);
  });

  test("needs something to watch", async () => {
    const none = async () => {
      for await (const response of host.file.watch({ path: at("none") }))
        expect(response).toBeUndefined();
    };
    expect(await reasonOf(none())).toBe(ErrorReason.FILE_NOT_FOUND);
  });
});

test("the watcher's records are read the same wherever they are torn", () => {
  const output = Buffer.from("S-\0\0Cf\0a\nb\0Rd\0x\0y/z\0Md\0\0O-\0\0Df\0a\xff\0", "latin1");
  const whole = JSON.stringify(
    new EventReader("/w")
      .push(output)
      .flatMap(({ events, resyncRequired }) => [events ?? [], resyncRequired ?? false])
      .flat(),
  );
  expect(whole).toContain('"oldPath":"/w/x"');
  assert(
    property(integer({ min: 1, max: 9 }), (size) => {
      const reader = new EventReader("/w");
      const seen = [];
      for (let start = 0; start < output.length; start += size) {
        seen.push(...reader.push(output.subarray(start, start + size)));
      }
      expect(seen.flatMap(({ events }) => events ?? [])).toEqual(
        new EventReader("/w").push(output).flatMap(({ events }) => events ?? []),
      );
      expect(seen.filter(({ resyncRequired }) => resyncRequired === true)).toHaveLength(1);
    }),
  );
});

/** Pids of running watchers that this test's agent has started. */
function watchers(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        return stat.includes("(file-watcher)") && !/\) Z/.test(stat) && hasParent(stat);
      } catch {
        return false;
      }
    })
    .map(Number);
}

function hasParent(stat: string): boolean {
  const parent = / (\d+) /.exec(stat.slice(stat.lastIndexOf(")") + 3))?.[0].trim();
  return readFileSync(`/proc/${parent}/cmdline`, "utf8").includes(agent.folder);
}

function watcherPid(): number {
  const pid = watchers().at(-1);
  if (pid === undefined) throw new Error("no watcher runs");
  return pid;
}
