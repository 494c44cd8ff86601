import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as sdk from "@nullspace/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { blocksOf, readPages, REPOSITORY, type Block } from "./pages.ts";

/** What stands before a sample that imports nothing: a page need not say it each time. */
const PREAMBLE = `import { ${Object.keys(sdk).join(", ")} } from "@nullspace/sdk";`;
const MACHINE = "declare const machine: Machine;";

const CONFIGURATION = {
  extends: join(REPOSITORY, "tooling/typescript/base.json"),
  compilerOptions: { noEmit: true, types: ["node"], moduleDetection: "force" },
  include: ["*.ts"],
};

let folder: string;
beforeEach(() => {
  // Below this package, so that samples find what it depends on.
  const cache = join(import.meta.dirname, "../node_modules/.cache");
  mkdirSync(cache, { recursive: true });
  folder = mkdtempSync(join(cache, "samples-"));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(CONFIGURATION));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Checks samples, each a module of its own, and gives what the compiler says of them. */
function complaintsOf(blocks: readonly Block[]): string[] {
  const places = new Map<string, Block>();
  for (const block of blocks) {
    const name = `${block.page.replaceAll(/\W/g, "-")}-${block.line}.ts`;
    places.set(name, block);
    writeFileSync(join(folder, name), moduleOf(block.code));
  }
  const tsc = join(REPOSITORY, "node_modules/.bin/tsc");
  const { stdout, stderr } = spawnSync(tsc, ["-p", folder, "--pretty", "false"], {
    cwd: folder,
    encoding: "utf8",
  });
  return `${stdout}${stderr}`
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => inPage(line, places));
}

/** A sample as a module. What is added stands on its first line, so that lines stay in step. */
function moduleOf(code: string): string {
  if (code.includes('from "@nullspace/sdk"')) return code;
  const declared = /\b(?:const|using|let) machine\b/.test(code);
  return `${PREAMBLE} ${declared ? "" : MACHINE} ${code}`;
}

function inPage(complaint: string, places: ReadonlyMap<string, Block>): string {
  const match = /^([\w-]+\.ts)\((\d+),\d+\): (.*)$/.exec(complaint);
  const block = places.get(match?.[1] ?? "");
  if (match === null || block === undefined) return complaint;
  return `${block.page}:${block.line + Number(match[2]) - 1} ${match[3]}`;
}

test("every sample of the documentation compiles against the SDK", () => {
  const samples = readPages()
    .flatMap(blocksOf)
    .filter(({ language }) => language === "ts");
  expect(samples.length).toBeGreaterThan(10);
  expect(complaintsOf(samples)).toEqual([]);
}, 60_000);

test("a sample that does not compile is found, at its line", () => {
  const block = { page: "docs/page.md", line: 7, language: "ts" };
  const broken = 'await machine.commands.run("ls");\nawait machine.comands.run("ls");\n';
  expect(complaintsOf([{ ...block, code: broken }])).toEqual([
    expect.stringMatching(/^docs\/page\.md:8 .*comands/),
  ]);
}, 60_000);
