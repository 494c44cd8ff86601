import * as fc from "fast-check";
import { GitChange, GitRefResult } from "@nullspace/proto/agent";
import { describe, expect, test } from "vitest";
import { tear, cuts } from "../testing/torn.js";
import { parseCommits } from "./commits.js";
import { parseDiff } from "./diff.js";
import { type Progress, ProgressReader, withProgress } from "./progress.js";
import { compareRefs, parseBranches, parsePush, parseTags } from "./refs.js";
import { scrubberOf, scrubberOfKey, scrubUrls } from "./scrub.js";
import { parseStatus } from "./status.js";

/** A path as git allows it: anything without NUL. */
const path = fc.string({ minLength: 1 }).filter((name) => !name.includes("\0"));

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of stream) all.push(one);
  return all;
}

test("status keeps every path as it is", () => {
  fc.assert(
    fc.property(path, path, path, (changed, renamed, original) => {
      const { entries } = parseStatus([
        "# branch.head main",
        `1 .M N... 100644 100644 100644 aaa bbb ${changed}`,
        `2 R. N... 100644 100644 100644 aaa bbb R100 ${renamed}`,
        original,
        `? ${changed}`,
      ]);
      expect(entries).toMatchObject([
        { path: changed, worktree: GitChange.MODIFIED },
        { path: renamed, originalPath: original, index: GitChange.RENAMED },
        { path: changed, worktree: GitChange.UNTRACKED },
      ]);
    }),
  );
});

test("diff keeps every path as it is, and joins each with its lines", () => {
  fc.assert(
    fc.property(path, path, (name, original) => {
      fc.pre(name !== original && !name.startsWith(":") && !original.startsWith(":"));
      const files = parseDiff([
        ":100644 100644 aaa bbb M",
        original,
        ":100644 100644 aaa bbb R090",
        original,
        name,
        `3\t4\t${original}`,
        "1\t2\t",
        original,
        name,
      ]);
      expect(files).toMatchObject([
        { path: original, change: GitChange.MODIFIED, additions: 3, deletions: 4 },
        { path: name, originalPath: original, change: GitChange.RENAMED, additions: 1 },
      ]);
    }),
  );
});

test("whatever git says, nothing that reads it throws", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 30 }), { maxLength: 30 }), (fields) => {
      for (const parse of [parseStatus, parseDiff, parseCommits, parseBranches, parseTags])
        parse(fields);
      expect(parsePush(fields.join("\n")).length).toBeLessThanOrEqual(fields.length + 30);
    }),
  );
});

test("refs are compared by name", () => {
  const before = new Map(Object.entries({ same: "1", moved: "1", gone: "1" }));
  const after = new Map(Object.entries({ same: "1", moved: "2", made: "3" }));
  expect(compareRefs(before, after)).toMatchObject([
    { localRef: "moved", result: GitRefResult.UPDATED, summary: "1..2" },
    { localRef: "made", result: GitRefResult.NEW },
    { localRef: "gone", result: GitRefResult.DELETED },
  ]);
});

describe("progress", () => {
  const said =
    "Cloning into 'x'...\nremote: Enumerating objects: 5, done.\nremote: Welcome!\n" +
    "Receiving objects:  50% (1/2)\rReceiving objects: 100% (2/2), 1.2 KiB | 3 MiB/s, done.\n";
  const read = (...pieces: string[]) => {
    const steps: Progress[] = [];
    const reader = new ProgressReader(scrubUrls, (step) => steps.push(step));
    for (const piece of pieces) reader.push(piece);
    return steps;
  };

  test("is read from counts and from what the remote says", () => {
    expect(read(said)).toEqual([
      { phase: "Enumerating objects", done: 5n, total: 0n },
      { message: "Welcome!" },
      { phase: "Receiving objects", done: 1n, total: 2n },
      { phase: "Receiving objects", done: 2n, total: 2n },
    ]);
  });

  test("is the same however it is torn", () => {
    fc.assert(
      fc.property(cuts, (at) => {
        const pieces = tear(Buffer.from(said), at).map((piece) => piece.toString());
        expect(read(...pieces)).toEqual(read(said));
      }),
    );
  });

  test("that nobody reads is not kept, the result is", async () => {
    const stream = withProgress(async (tell) => {
      for (let i = 0; i < 100_000; i++) tell({ done: BigInt(i) });
      return "result";
    });
    const steps = await collect(stream);
    expect(steps.length).toBeLessThan(100);
    expect(steps.at(-1)).toEqual({ done: "result" });
    expect(steps.at(-2)).toEqual({ progress: { done: 99_999n } });
  });

  test("ends with the failure of the work", async () => {
    const stream = withProgress(async (tell) => {
      tell({ message: "so far" });
      throw new Error("no further");
    });
    await expect(collect(stream)).rejects.toThrow("no further");
  });
});

describe("secrets", () => {
  test("are hidden in every form", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 4 }), (password) => {
        fc.pre(!"ada:***".includes(password));
        const scrub = scrubberOf("ada", password);
        const forms = [
          password,
          encodeURIComponent(password),
          Buffer.from(`ada:${password}`).toString("base64"),
        ];
        for (const form of forms) {
          expect(scrub(`fatal: ${form} is wrong`)).not.toContain(form);
        }
      }),
    );
    const token = "ghp_0123456789abcdefghij";
    expect(scrubberOf(token, "")(`user ${token}`)).toBe("user ***");
    expect(scrubberOf("", "")("nothing to hide: ")).toBe("nothing to hide: ");
    const key = "-----BEGIN X-----\nabcd1234\nefgh\n-----END X-----\n";
    expect(scrubberOfKey(key, "phrase")("abcd1234 phrase")).toBe("*** ***");
  });

  test("of URLs are hidden, their hosts are not", () => {
    expect(scrubUrls("to https://me:hunter2@example.com/a and ssh://git@host/b")).toBe(
      "to https://me:***@example.com/a and ssh://git@host/b",
    );
  });
});
