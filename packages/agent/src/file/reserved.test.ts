import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { FileType, SearchScopeSchema } from "@nullspace/proto/agent";
import { afterEach, beforeEach, expect, test } from "vitest";
import { UserDatabase } from "../guest/users.js";
import { find } from "./finding.js";
import { listFolder } from "./listing.js";
import { Paths } from "./paths.js";
import { scopeArguments } from "./ripgrep.js";
import { readTree } from "./tree-reading.js";

const users = new UserDatabase(userInfo().username);

let folder: string;
let paths: Paths;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nullspace-reserved-"));
  for (const path of ["work/.reserved", "work/other/.reserved"]) {
    mkdirSync(join(folder, path), { recursive: true });
    writeFileSync(join(folder, path, "file"), "needle");
  }
  paths = new Paths(() => folder, join(folder, "work/.reserved"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

/** What is seen from a folder above: everything but the reserved one. */
const SEEN = ["other", "other/.reserved", "other/.reserved/file"];

test("a folder above the reserved one knows where it is, others know nothing of it", () => {
  const below = (path: string) => {
    using opened = paths.openFolder(paths.target(path));
    return paths.reservedBelow(opened);
  };
  expect(below(".")).toBe("work/.reserved");
  expect(below("work")).toBe(".reserved");
  expect(below("work/other")).toBeUndefined();
  expect(below("/")).toBe(join(folder, "work/.reserved").slice(1));
  expect(below("/usr")).toBeUndefined();
});

test("it is not listed, found, or carried away with what lies around it", async () => {
  using work = paths.openFolder(paths.target("work"));
  const except = paths.reservedBelow(work);
  const path = join(folder, "work");
  const short = (long: (string | undefined)[]) => long.map((one) => one?.slice(path.length + 1));
  const listed = (await all(listFolder(work, { path, depth: 9, except }, users))).flat();
  expect(short(listed.map((info) => info.path))).toEqual(SEEN);
  const options = { path, glob: "", type: FileType.UNSPECIFIED, limit: 100, except };
  const found = (await all(find(work, options, users))).flatMap(({ entries }) => entries);
  expect(short(found.map((info) => info.path))).toEqual(SEEN);
  const tree = await all(readTree(work, { after: undefined, offset: 0, except }));
  const carried = tree.flatMap(({ entries = [] }) =>
    entries.map((entry) => Buffer.from(entry.path ?? []).toString()),
  );
  expect(carried).toEqual(["", ...SEEN]);
});

test.runIf(hasRipgrep())("it is not searched, whatever the globs say", () => {
  const search = (globs: string[]) => {
    const scope = create(SearchScopeSchema, { globs, hidden: true, ignored: true });
    const args = [...scopeArguments(scope, ".reserved"), "--files-with-matches", "needle", "./"];
    return execFileSync("rg", args, { cwd: join(folder, "work") }).toString();
  };
  expect(search([])).toBe("./other/.reserved/file\n");
  expect(search(["file", "**/.reserved/**", ".reserved/file"])).toBe("./other/.reserved/file\n");
});

function hasRipgrep(): boolean {
  try {
    execFileSync("rg", ["--version"]);
    return true;
  } catch {
    return false;
  }
}
