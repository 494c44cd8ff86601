import { mkdir, readFile, symlink, writeFile, chmod, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { Code } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import { FileType } from "@nullspace/proto/agent";
import { array, assert, property, uint8Array } from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { reasonOf } from "../testing/output.js";
import { Splitter } from "./splitter.js";

const hasRipgrep = (() => {
  try {
    execFileSync("rg", ["--version"]);
    return true;
  } catch {
    return false;
  }
})();

let agent: TestAgent;
let host: Host;
let folder: string;

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
  folder = join(agent.folder, `search-${count++}`);
  await mkdir(folder);
});

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

const at = (...parts: string[]) => join(folder, ...parts);
const put = async (path: string, content: string | Buffer) => {
  await mkdir(dirname(at(path)), { recursive: true });
  await writeFile(at(path), content);
};
const below = (path: string) => path.slice(folder.length + 1);

describe("Find", () => {
  const find = async (glob: string, options: { type?: FileType; limit?: number } = {}) => {
    const paths: string[] = [];
    let truncated = false;
    for await (const response of host.file.find({ path: folder, glob, ...options })) {
      paths.push(...response.entries.map(({ path }) => below(path)));
      truncated = response.truncated;
    }
    return { paths, truncated };
  };

  test("matches names at any depth, and paths where the glob has a slash", async () => {
    for (const path of ["a.ts", "src/b.ts", "src/deep/c.ts", "src/d.js", ".hidden/e.ts"])
      await put(path, "");
    await symlink("src", at("link.ts"));
    expect((await find("*.ts")).paths).toEqual([
      ".hidden/e.ts",
      "a.ts",
      "link.ts",
      "src/b.ts",
      "src/deep/c.ts",
    ]);
    expect((await find("src/**/*.{ts,js}")).paths).toEqual([
      "src/b.ts",
      "src/d.js",
      "src/deep/c.ts",
    ]);
    expect((await find("*", { type: FileType.DIRECTORY })).paths).toEqual([
      ".hidden",
      "src",
      "src/deep",
    ]);
    expect((await find("", { type: FileType.SYMLINK })).paths).toEqual(["link.ts"]);
  });

  test("says when there is more than the limit, and only then", async () => {
    for (let i = 0; i < 5; i++) await put(`f${i}`, "");
    expect(await find("f*", { limit: 4 })).toEqual({
      paths: ["f0", "f1", "f2", "f3"],
      truncated: true,
    });
    expect((await find("f*", { limit: 5 })).truncated).toBe(false);
  });
});

describe.runIf(hasRipgrep)("Search", () => {
  const search = async (
    text: string,
    {
      regex = false,
      ignoreCase = false,
      limit = 0,
      ...scope
    }: {
      regex?: boolean;
      ignoreCase?: boolean;
      limit?: number;
      globs?: string[];
      hidden?: boolean;
      ignored?: boolean;
      path?: string;
    } = {},
  ) => {
    const lines: string[] = [];
    const ranges: number[][] = [];
    let summary;
    const request = {
      scope: { path: folder, ...scope },
      pattern: { text, regex, ignoreCase },
      limit,
    };
    for await (const response of host.file.search(request)) {
      for (const match of response.matches) {
        lines.push(
          `${below(match.path)}:${match.lineNumber}:${Buffer.from(match.line).toString()}`,
        );
        ranges.push(...match.ranges.map(({ start, end }) => [Number(start), Number(end)]));
      }
      summary = response.summary;
    }
    return { lines, ranges, summary };
  };

  test("finds text as it is written, and expressions where they are meant", async () => {
    await put("a", "one.two\nonextwo\n\none.two one.two");
    await put("b/c", "ONE.TWO");
    const literal = await search("one.two");
    expect(literal.lines).toEqual(["a:1:one.two", "a:4:one.two one.two"]);
    expect(literal.ranges).toEqual([
      [0, 7],
      [0, 7],
      [8, 15],
    ]);
    expect(literal.summary).toMatchObject({ matches: 2n, truncated: false, skippedLines: 0n });
    expect((await search("one.two$", { regex: true })).lines).toHaveLength(3);
    expect((await search("one.two", { ignoreCase: true })).lines).toHaveLength(3);
    expect((await search("nowhere")).lines).toEqual([]);
    expect((await search("-e")).lines).toEqual([]);
    expect((await search("two\nonex")).lines).toEqual(["a:1:one.two\nonextwo"]);
  });

  test("looks where it is told to", async () => {
    for (const path of ["a.ts", "b.js", ".hidden", "out/c.ts", ".git/config"]) await put(path, "x");
    await put(".gitignore", "out\n");
    const files = async (options: Parameters<typeof search>[1]) =>
      (await search("x", options)).lines.map((line) => line.split(":")[0]);
    expect(await files({})).toEqual(["a.ts", "b.js"]);
    expect(await files({ globs: ["*.ts"] })).toEqual(["a.ts"]);
    expect(await files({ globs: ["!*.ts"] })).toEqual(["b.js"]);
    expect(await files({ hidden: true })).toEqual([".hidden", "a.ts", "b.js"]);
    expect(await files({ ignored: true })).toEqual(["a.ts", "b.js", "out/c.ts"]);
    expect(await files({ path: at("b.js") })).toEqual(["b.js"]);
  });

  test("is bounded: in lines, in the length of a line, and says so", async () => {
    await put("many", "needle\n".repeat(100_000));
    const first = await search("needle", { limit: 10 });
    expect(first.lines).toHaveLength(10);
    expect(first.summary?.truncated).toBe(true);
    await put("many", `${"x".repeat(10_000)} needle\n${"y".repeat(3_000_000)} needle\nneedle`);
    const { lines, summary } = await search("needle");
    expect(lines.map((line) => line.length)).toEqual([
      4096 + "many:1:".length,
      "many:3:needle".length,
    ]);
    expect(summary?.skippedLines).toBe(1n);
  });

  test("tells of names and lines that are not UTF-8 as they are", async () => {
    const name = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x61, 0xff])]);
    await writeFile(name, Buffer.from([0xfe, 0x78, 0x0a]));
    const responses = await all(
      host.file.search({ scope: { path: folder }, pattern: { text: "x" } }),
    );
    const match = responses[0]?.matches[0];
    expect(Buffer.from(match?.rawPath ?? [])).toEqual(name);
    expect([...(match?.line ?? [])]).toEqual([0xfe, 0x78]);
  });

  test("an expression that is none is the caller's mistake", async () => {
    expect(await reasonOf(search("(", { regex: true }))).toBe(ErrorReason.INVALID_PATTERN);
    expect(await reasonOf(search(""))).toBe(ErrorReason.INVALID_PATTERN);
    expect(await reasonOf(search("x", { globs: ["[z-a]"] }))).toBe(ErrorReason.INVALID_PATTERN);
    expect(await reasonOf(search("x", { path: at("none") }))).toBe(ErrorReason.FILE_NOT_FOUND);
  });

  test("leaves no process and no descriptor behind when the caller goes", async () => {
    await put("many", "needle\n".repeat(300_000));
    await search("needle", { limit: 1 });
    const descriptors = () => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    for (let i = 0; i < 10; i++) {
      const caller = new AbortController();
      const request = {
        scope: { path: folder },
        pattern: { text: "needle" },
        limit: 300_000,
      };
      const left = async () => {
        for await (const { matches } of host.file.search(request, caller)) {
          expect(matches.length).toBeGreaterThan(0);
          // Not read any further, so that the agent is held up in the middle.
          await host.system.ping({});
          caller.abort();
        }
      };
      await expect(left()).rejects.toMatchObject({ code: Code.Canceled });
    }
    await expect.poll(descriptors, { timeout: 4000 }).toBeLessThanOrEqual(before);
    expect((await host.process.list({})).processes).toEqual([]);
    const running = execFileSync("ps", ["-eo", "args"]).toString();
    expect(running).not.toContain(`needle -- ./`);
  });
});

describe.runIf(hasRipgrep)("Replace", () => {
  const replace = async (
    text: string,
    replacement: string,
    {
      dryRun = false,
      ...pattern
    }: { dryRun?: boolean; regex?: boolean; ignoreCase?: boolean } = {},
  ) => {
    const request = { scope: { path: folder }, pattern: { text, ...pattern }, replacement, dryRun };
    const files = await all(host.file.replace(request));
    return files.map(({ path, replacements, failure }) => [
      below(path),
      Number(replacements),
      failure,
    ]);
  };
  const content = (path: string) => readFile(at(path), "utf8");

  test("changes every file, keeps what is theirs, and tells how often", async () => {
    await put("a", "foo $1 foo");
    await put("b/c", "no end of line: foo");
    await put("d", "nothing");
    await put("binary", "foo\0");
    await chmod(at("a"), 0o751);
    expect(await replace("foo", "$1\\n", { dryRun: true })).toEqual([
      ["a", 2, ""],
      ["b/c", 1, ""],
    ]);
    expect(await content("a")).toBe("foo $1 foo");
    expect(await replace("foo", "$1\\n")).toEqual([
      ["a", 2, ""],
      ["b/c", 1, ""],
    ]);
    expect(await content("a")).toBe("$1\\n $1 $1\\n");
    expect(await content("b/c")).toBe("no end of line: $1\\n");
    expect(await content("binary")).toBe("foo\0");
    expect((await stat(at("a"))).mode & 0o777).toBe(0o751);
  });

  test.each([
    [
      "groups",
      "(\\w+)@(?P<host>\\w+)",
      "${host} at $1",
      "me@here, you@there\n",
      "here at me, there at you\n",
    ],
    ["without an end of line", "b$", "c", "a\nab", "a\nac"],
    ["carriage returns", "a", "bb", "a\r\na\r\n", "bb\r\nbb\r\n"],
    ["bytes that are no text", "a", "b", "\xff\xfea\n", "\xff\xfeb\n"],
    ["a byte order mark", "a", "b", "\xef\xbb\xbfa", "\xef\xbb\xbfb"],
  ])("by expression: %s", async (_, text, by, before, after) => {
    await put("f", Buffer.from(before, "latin1"));
    await replace(text, by, { regex: true });
    expect((await readFile(at("f"))).toString("latin1")).toBe(after);
  });

  test("regardless of case the replacement is still taken as it is", async () => {
    await put("f", "Foo foo");
    expect(await replace("FOO", "$0$$", { ignoreCase: true })).toEqual([["f", 2, ""]]);
    expect(await content("f")).toBe("$0$$ $0$$");
  });

  test("across lines", async () => {
    await put("f", "a\nb\n");
    expect(await replace("\n", "")).toHaveLength(1);
    expect(await content("f")).toBe("ab");
  });
});

test("records come out as they went in, wherever the pieces are torn; long ones are counted", () => {
  assert(
    property(
      array(uint8Array({ min: 1, maxLength: 20 })),
      uint8Array({ min: 1, max: 7, maxLength: 90 }),
      (records, cuts) => {
        const stream = Buffer.concat(records.flatMap((record) => [record, Buffer.from([0])]));
        const splitter = new Splitter(0, 15);
        const found: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          found.push(...splitter.push(stream.subarray(at, at + cut)));
          at += cut;
        }
        found.push(...splitter.push(stream.subarray(at)));
        const short = records.filter(({ length }) => length <= 15);
        expect(found.map((record) => [...record])).toEqual(short.map((record) => [...record]));
        expect(splitter.skipped).toBe(records.length - short.length);
      },
    ),
  );
});
