import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** A package that is published. */
interface Published {
  name: string;
  folder: string;
  /** A value that it must export; none where there is nothing to import. */
  exported?: string;
}

const PACKAGES: readonly Published[] = [
  { name: "@nullspace/proto", folder: "proto", exported: "MachineService" },
  { name: "@nullspace/sdk", folder: "packages/sdk", exported: "Machine" },
  { name: "@nullspace/agent", folder: "packages/agent", exported: "runAgent" },
  { name: "@nullspace/web", folder: "packages/web" },
  { name: "@nullspace/server", folder: "packages/server", exported: "startServer" },
  { name: "@nullspace/cli", folder: "packages/cli", exported: "createProgram" },
];

const ROOT = fileURLToPath(new URL("..", import.meta.url));
let project: string;

/** An empty project with every package in it, as `npm pack` made them. */
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "nullspace-pack-"));
  const dependencies: Record<string, string> = {};
  for (const { name, folder } of PACKAGES) {
    const args = ["pack", "--silent", "--pack-destination", project];
    const file = execFileSync("npm", args, { cwd: join(ROOT, folder), encoding: "utf8" });
    dependencies[name] = `file:./${file.trim()}`;
  }
  const manifest = { name: "empty", private: true, type: "module", dependencies };
  // Each names the others by version; here that means these, not what a registry has.
  const contents = JSON.stringify({ ...manifest, overrides: dependencies });
  await writeFile(join(project, "package.json"), contents);
  const quiet = ["--no-audit", "--no-fund", "--ignore-scripts"];
  execFileSync("npm", ["install", ...quiet], { cwd: project, stdio: "pipe" });
});

afterAll(async () => {
  await rm(project, { recursive: true, force: true });
});

function installed(name: string): string {
  return join(project, "node_modules", name);
}

function manifestOf(name: string): object {
  const manifest: unknown = JSON.parse(readFileSync(join(installed(name), "package.json"), "utf8"));
  if (typeof manifest === "object" && manifest !== null) return manifest;
  throw new Error(`${name} has no manifest`);
}

/** Every string of a manifest's part, however deep. */
function stringsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(stringsIn);
}

function part(manifest: object, key: string): unknown {
  return new Map<string, unknown>(Object.entries(manifest)).get(key);
}

describe.each(PACKAGES)("$name", ({ name, exported }) => {
  test("tells what it is", () => {
    const common = { license: "Apache-2.0", type: "module", publishConfig: { access: "public" } };
    const manifest = manifestOf(name);
    expect(manifest).toMatchObject({ name, ...common });
    expect(stringsIn(part(manifest, "description"))).toHaveLength(1);
    const files = readdirSync(installed(name));
    expect(files).toEqual(expect.arrayContaining(["LICENSE", "README.md", "dist"]));
  });

  test("holds no tests, and nothing that only tests need", () => {
    const files = readdirSync(installed(name), { recursive: true, encoding: "utf8" });
    const own = files.filter((file) => !file.startsWith("node_modules"));
    expect(own.filter((file) => /\.test(-d)?\.|(^|\/)testing\/|\.list$/.test(file))).toEqual([]);
  });

  test("depends on what a registry has", () => {
    const versions = stringsIn(part(manifestOf(name), "dependencies"));
    expect(versions.filter((version) => !/^\^?\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  test("holds every file that its manifest names", () => {
    const manifest = manifestOf(name);
    const named = ["exports", "imports", "bin"].flatMap((key) => stringsIn(part(manifest, key)));
    const missing = named
      .filter((file) => !file.includes("*"))
      .filter((file) => !existsSync(join(installed(name), file)));
    expect(missing).toEqual([]);
  });

  test.skipIf(exported === undefined)("can be imported", () => {
    const script = `import * as all from "${name}"; console.log(typeof all["${exported}"])`;
    const args = ["--input-type=module", "--eval", script];
    const out = execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" });
    expect(out.trim()).toMatch(/^(?:function|object)$/);
  });
});

test.each(["nodenext", "bundler"])("the types are there, for resolution as in %s", async (how) => {
  const program = `import { Machine, NotFoundError } from "@nullspace/sdk";
import { MachineService } from "@nullspace/proto";
import { runAgent } from "@nullspace/agent";
import { startServer } from "@nullspace/server";
import { createProgram } from "@nullspace/cli";

export async function use(): Promise<number> {
  await using machine = await Machine.create({ template: "base" });
  const { exitCode, stdout } = await machine.commands.run("uname -a");
  const text: string = stdout;
  // @ts-expect-error a template is a name
  await Machine.create({ template: 7 });
  if (text === "") throw new NotFoundError("nothing");
  return exitCode;
}
export const values = [MachineService.typeName, runAgent, startServer, createProgram().name()];
`;
  await writeFile(join(project, "use.ts"), program);
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const resolution =
    how === "bundler"
      ? ["--module", "esnext", "--moduleResolution", "bundler"]
      : ["--module", "nodenext"];
  const types = ["--typeRoots", join(ROOT, "tests/node_modules/@types"), "--types", "node"];
  const rest = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2024"];
  const args = [
    ...rest,
    "--lib",
    "es2024,dom,esnext.disposable",
    ...types,
    ...resolution,
    "use.ts",
  ];
  expect(() => execFileSync(tsc, args, { cwd: project, encoding: "utf8" })).not.toThrow();
});

test("the nullspace command runs", () => {
  const bin = join(project, "node_modules/.bin/nullspace");
  const out = execFileSync(bin, ["--help"], { cwd: project, encoding: "utf8" });
  expect(out).toContain("machine");
});
