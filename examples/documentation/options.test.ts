import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { readPage } from "./pages.ts";

const SERVER = fileURLToPath(import.meta.resolve("@nullspace/server/bin"));

/** Options with the environment variables that stand for them, as `--home NULLSPACE_HOME`. */
function optionsOf(text: string, line: RegExp): string[] {
  return [...text.matchAll(line)]
    .map((match) => {
      const variable = /\b(NULLSPACE_\w+|DATABASE_URL)\b/.exec(match[0])?.[1];
      return variable === undefined ? `${match[1]}` : `${match[1]} ${variable}`;
    })
    .toSorted();
}

test("docs/self-hosting.md has every option of the server, and no other", () => {
  const help = execFileSync(process.execPath, [SERVER, "server", "--help"], { encoding: "utf8" });
  // An option and the lines that go on with it.
  const options = optionsOf(help, /^ {2}(?:-h, )?(--[\w-]+).*(?:\n {10,}.*)*/gm);
  const documented = optionsOf(readPage("docs/self-hosting.md"), /^\| `(--[\w-]+)`.*/gm);
  expect(options).toContain("--home NULLSPACE_HOME");
  expect(documented).toEqual(options.filter((option) => option !== "--help"));
});
