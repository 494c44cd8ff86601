import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkLayers } from "./check.ts";
import { SOURCES } from "./sources.ts";

const LISTS = {
  "src/DEPS.list": "./domain/\n./store/\n./rpc/\n./log.ts\n",
  "src/domain/DEPS.list": "# The rules.\nnode:crypto\n@scope/proto  # messages\n",
  "src/store/DEPS.list": "../domain/\nkysely\nnode:*\n",
  "src/rpc/DEPS.list": "../domain/\n../log.ts\n",
  "src/log.ts": "export const log = 1;\n",
  "src/domain/deep/rule.ts": 'import { createHash } from "node:crypto";\nimport "../port.js";\n',
  "src/domain/port.ts": 'import type { A } from "@scope/proto/host";\n',
  "src/store/rows.ts": 'import type { Port } from "../domain/port.js";\nimport "node:fs";\n',
  "src/rpc/call.ts": 'import { log } from "../log.js";\nexport * from "../domain/port.js";\n',
  "src/main.ts": 'import "./store/rows.js";\nconst rpc = await import("./rpc/call.js");\n',
};

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "layers-"));
  write(LISTS);
});
afterEach(() => rmSync(root, { recursive: true }));

function write(files: Record<string, string>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
}

const problems = () => checkLayers(root, ["src"]).problems;

test("imports that the lists allow pass", () => {
  expect(problems()).toEqual([]);
  expect(checkLayers(root, ["src"]).files).toBe(6);
});

test.each([
  ["a layer above", "domain/bad.ts", 'import { row } from "../store/rows.js";', "src/store/"],
  ["a type of it", "domain/bad.ts", 'import type { Row } from "../store/rows.js";', "src/store/"],
  ["a re-export", "domain/bad.ts", 'export { row } from "../store/rows.js";', "src/store/"],
  ["a dynamic import", "domain/bad.ts", 'await import("../store/rows.js");', "src/store/"],
  ["a folder deep below", "domain/deep/x.ts", 'import "../../rpc/call.js";', "src/rpc/"],
  ["a layer beside", "rpc/bad.ts", 'import "../store/rows.js";', "src/store/"],
  ["a file that is not named", "store/bad.ts", 'import "../log.js";', "belongs to src/"],
  ["a package", "domain/bad.ts", 'import { Kysely } from "kysely";', '"kysely"'],
  ["a package by its subpath", "rpc/bad.ts", 'import "@scope/proto/host";', "@scope/proto/host"],
  ["a module of Node.js", "domain/bad.ts", 'import { readFile } from "node:fs";', "node:fs"],
  ["what is for tests", "store/bad.ts", 'import "./testing/fake.js";', "for tests only"],
  ["another package by its path", "rpc/bad.ts", 'import "../../other/x.js";', "no region at all"],
])("%s is a problem", (_what, file, text, words) => {
  write({ [`src/${file}`]: `\n${text}\n` });
  expect(problems()).toEqual([expect.stringContaining(words)]);
  expect(problems()).toEqual([expect.stringMatching(new RegExp(`^src/${file}:2 `))]);
});

test("tests may import everything", () => {
  const everything = 'import "../store/rows.js";\nimport "vitest";\n';
  write({ "src/domain/port.test.ts": everything, "src/domain/testing/fake.ts": everything });
  expect(problems()).toEqual([]);
});

test("a file without a list above it, and a list that names nothing, are problems", () => {
  rmSync(join(root, "src/DEPS.list"));
  write({ "src/rpc/DEPS.list": "../domain/\n../log.ts\n../no-such-folder/\n" });
  expect(problems()).toEqual([
    expect.stringContaining("src/no-such-folder is neither"),
    expect.stringContaining("src/log.ts: no DEPS.list"),
    expect.stringContaining("src/main.ts: no DEPS.list"),
  ]);
});

test("a file that cannot be parsed is an error, not a pass", () => {
  write({ "src/domain/bad.ts": "import {{{" });
  expect(problems).toThrow("src/domain/bad.ts");
});

test("this repository keeps its own layers", () => {
  const { problems: own, files } = checkLayers(
    fileURLToPath(new URL("../../..", import.meta.url)),
    SOURCES,
  );
  expect(own).toEqual([]);
  expect(files).toBeGreaterThan(200);
});
