import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Folder of the repository. */
export const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));

/** A page of the documentation. */
export interface Page {
  /** Relative to the repository. */
  path: string;
  text: string;
}

/** A fenced block of a page. */
export interface Block {
  page: string;
  /** Line of the page that its first line is, from 1 on. */
  line: number;
  language: string;
  code: string;
}

/** Every page that users and contributors read. */
export function readPages(): Page[] {
  const globs = ["*.md", "docs/**/*.md", "packages/*/README.md", "proto/README.md"];
  return globSync(globs, { cwd: REPOSITORY })
    .toSorted()
    .map((path) => ({ path, text: readPage(path) }));
}

/** @param path - relative to the repository */
export function readPage(path: string): string {
  return readFileSync(`${REPOSITORY}/${path}`, "utf8");
}

/** The fenced blocks of a page. */
export function blocksOf({ path, text }: Page): Block[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => ({
    page: path,
    line: text.slice(0, match.index).split("\n").length + 1,
    language: match[1] ?? "",
    code: match[2] ?? "",
  }));
}
