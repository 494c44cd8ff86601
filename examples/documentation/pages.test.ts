import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { createProgram } from "@nullspace/cli";
import { expect, test } from "vitest";
import { blocksOf, readPage, readPages, REPOSITORY } from "./pages.ts";

const pages = readPages();

test("every link within the repository leads somewhere", () => {
  const dead = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1] ?? "")
      .filter((link) => !/^(?:https?|mailto):/.test(link))
      .filter((link) => !leadsSomewhere(path, link))
      .map((link) => `${path}: ${link}`),
  );
  expect(dead).toEqual([]);
});

function leadsSomewhere(page: string, link: string): boolean {
  const [file = "", anchor] = link.split("#");
  const target = file === "" ? page : join(dirname(page), file);
  if (!existsSync(join(REPOSITORY, target))) return false;
  return anchor === undefined || anchorsOf(readPage(target)).includes(anchor);
}

/** Names that headings can be linked by, as forges make them. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
}

test("every page of docs/ is in its index", () => {
  const index = readPage("docs/README.md");
  const missing = pages
    .map(({ path }) => path)
    .filter((path) => /^docs\/(?!README)/.test(path))
    .filter((path) => !index.includes(`(${path.replace("docs/", "")})`));
  expect(missing).toEqual([]);
});

test("every command line that is shown is one that the CLI has", () => {
  const lines = pages
    .flatMap(blocksOf)
    .filter(({ language }) => language === "sh")
    .flatMap(({ page, code }) => code.split("\n").map((line) => ({ page, line })));
  const calls = lines.flatMap(({ page, line }) =>
    [...withoutExtras(line).matchAll(/(?<![\w/@])nullspace ([a-z][^|)>]*)/g)].map((match) => ({
      page,
      words: (match[1] ?? "").trim().split(/\s+/),
    })),
  );
  expect(calls.length).toBeGreaterThan(15);
  expect(calls.filter(({ words }) => !isCommand(words))).toEqual([]);
});

/** A line of shell without its comment and without what is quoted. */
function withoutExtras(line: string): string {
  return line.replace(/\s# .*$/, "").replaceAll(/'[^']*'|"[^"]*"/g, "quoted");
}

type Command = ReturnType<typeof createProgram>;

function findCommand({ commands }: Command, word: string | undefined): Command | undefined {
  if (word === undefined) return undefined;
  return commands.find((command) => command.name() === word || command.aliases().includes(word));
}

function isCommand([name, ...rest]: string[]): boolean {
  const command = findCommand(createProgram(), name);
  if (command === undefined) return false;
  const leaf = findCommand(command, rest[0]);
  // A mere group has neither arguments nor options of its own.
  const isGroup = command.commands.length > 0 && leaf === undefined;
  const takesWords = isGroup && command.registeredArguments.length > 0;
  const isItself = command.options.length > 0 && (rest[0]?.startsWith("-") ?? true);
  if (isGroup && !takesWords && !isItself) return false;
  // The options of `server` are another program's.
  if (name === "server") return true;
  const ends = rest.includes("--") ? rest.indexOf("--") : rest.length;
  // What follows the machine in `ssh` is another program's as well.
  const end = takesWords ? rest.findIndex((word) => !word.startsWith("-")) : ends;
  const known = (leaf ?? command).options.flatMap(({ short, long }) => [short, long]);
  return rest
    .slice(0, end)
    .filter((word) => /^--?[a-z]/.test(word))
    .every((word) => known.includes(word.replace(/=.*/, "")));
}
