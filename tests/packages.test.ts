import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

/** Every package that is published, by folder, with a name that it must export. */
const PUBLISHED = {
  proto: "MachineService",
  "packages/sdk": "Machine",
  "packages/agent": "serveAgent",
  "packages/web": undefined,
  "packages/server": "startServer",
  "packages/cli": "createProgram",
} as const;

const ROOT = fileURLToPath(new URL("..", import.meta.url));
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "nullspace-pack-"));
  for (const folder of Object.keys(PUBLISHED)) {
    execFileSync("pnpm", ["pack", "--pack-destination", project], { cwd: join(ROOT, folder) });
  }
  const tarballs = (await readdir(project)).filter((name) => name.endsWith(".tgz"));
  const byName = tarballs.map((file) => [
    file.replace(/^nullspace-(.*)-\d.*$/, "@nullspace/$1"),
    `file:./${file}`,
  ]);
  const dependencies = Object.fromEntries(byName) as Record<string, string>;
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ name: "empty", private: true, type: "module", dependencies, overrides: dependencies }),
  );
  execFileSync("npm", ["install", "--no-audit", "--no-fund"], { cwd: project, stdio: "pipe" });
});

afterAll(async () => {
  await rm(project, { recursive: true, force: true });
});

test.each(
  Object.entries(PUBLISHED).flatMap(([folder, name]) =>
    name === undefined ? [] : [[`@nullspace/${folder.replace("packages/", "")}`, name] as const],
  ),
)("%s installs and imports in an empty project", (specifier, name) => {
  const script = `import * as all from ${JSON.stringify(specifier)}; console.log(typeof all[${JSON.stringify(name)}])`;
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: project,
    encoding: "utf8",
  });
  expect(out.trim()).toMatch(/function|object/);
});

test("the types are there", async () => {
  await writeFile(
    join(project, "use.ts"),
    `import { Machine, NotFoundError } from "@nullspace/sdk";
export async function use(): Promise<number> {
  await using machine = await Machine.create({ template: "base" });
  const { exitCode, stdout } = await machine.commands.run("uname -a");
  const text: string = stdout;
  // @ts-expect-error a template is a name
  await Machine.create({ template: 7 });
  if (text === "") throw new NotFoundError("nothing");
  return exitCode;
}
`,
  );
  const tsc = join(ROOT, "node_modules", ".bin", "tsc");
  const flags = "--noEmit --strict --skipLibCheck --module nodenext --target es2024 --lib es2024,dom,esnext.disposable";
  execFileSync(tsc, [...flags.split(" "), "use.ts"], { cwd: project, stdio: "pipe" });
});

test("the nullspace command runs", () => {
  const out = execFileSync("npx", ["nullspace", "--help"], { cwd: project, encoding: "utf8" });
  expect(out).toContain("machine");
});
