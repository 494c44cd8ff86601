import { deepEqual } from "node:assert/strict";
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UserDatabase } from "../guest/users.js";
import { makeIn } from "./folders.js";
import { Paths, type Place } from "./paths.js";
import { readFile as readByPath } from "./reading.js";
import { removeTree } from "./removing.js";
import { Replacement } from "./replacement.js";
import { walk } from "./walking.js";

const users = new UserDatabase(userInfo().username);
const user = users.find("", ErrorReason.INVALID_ARGUMENT);

let folder: string;
let paths: Paths;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nullspace-races-"));
  mkdirSync(at("reserved/sub"), { recursive: true });
  writeFileSync(at("reserved/sub/secret"), "secret");
  mkdirSync(at("way/sub"), { recursive: true });
  writeFileSync(at("way/sub/secret"), "mine");
  paths = new Paths(() => folder, at("reserved"));
});
afterEach(async () => {
  // Whatever the test was about: the reserved folder is as it was.
  deepEqual(readdirSync(at("reserved")), ["sub"]);
  deepEqual(readdirSync(at("reserved/sub")), ["secret"]);
  deepEqual(await readFile(at("reserved/sub/secret"), "utf8"), "secret");
  await rm(folder, { recursive: true });
});

const at = (path: string) => join(folder, path);

/** What a process in the machine does between our look at a path and our work on it. */
function swap(): void {
  renameSync(at("way"), at("moved"));
  symlinkSync("reserved", at("way"));
}

describe("a folder on the way that becomes a link to the reserved one", () => {
  test.each<[string, (place: Place) => unknown]>([
    ["to write", (place) => paths.openOrMake(place, user)],
    ["to look", (place) => paths.open(place)],
    ["to list", (place) => paths.openFolder({ ...place, real: join(place.real, "..") })],
    [
      "to make folders in",
      (place) => paths.openOrMakeFolder({ ...place, real: join(place.real, "../new") }, user),
    ],
  ])("before it is opened %s is found out", (_, open) => {
    const place = paths.target("way/sub/secret");
    swap();
    expect(() => open(place)).toThrow(/reserved/);
  });

  test("before a file is opened to be read is found out", async () => {
    const resolve = paths.target.bind(paths);
    paths.target = (path) => {
      const place = resolve(path);
      swap();
      return place;
    };
    const range = { offset: 0n, ifVersion: "", checksums: false };
    const read = readByPath(paths, "way/sub/secret", range, users);
    await expect(read.next()).rejects.toThrow(/reserved/);
  });

  test("afterwards leads nowhere: the work is done where it began", async () => {
    const spot = paths.openOrMake(paths.target("way/sub/file"), user);
    using other = paths.open(paths.entry("way/sub/secret"));
    swap();
    await using file = await Replacement.begin(spot);
    await file.write(Buffer.from("x"), 0);
    await file.commit({ user, mode: 0 });
    makeIn(spot.folder, "folder", user, 0o755);
    await removeTree(other.folder, other.name);
    expect(readdirSync(at("moved/sub")).toSorted()).toEqual(["file", "folder"]);
  });

  test("in the middle of a removal is removed, and not what it leads to", async () => {
    using spot = paths.open(paths.entry("way"));
    renameSync(at("way/sub"), at("way/moved"));
    symlinkSync("../reserved/sub", at("way/sub"));
    await removeTree(spot.folder, spot.name);
    expect(readdirSync(folder)).toEqual(["reserved"]);
  });

  test("in the middle of a walk is not entered", async () => {
    using root = paths.openFolder(paths.target("way"));
    const seen: string[] = [];
    for await (const { path } of walk(root)) {
      seen.push(path.toString());
      if (seen.length > 1) continue;
      renameSync(at("way/sub"), at("moved"));
      symlinkSync("../reserved/sub", at("way/sub"));
    }
    expect(seen).toEqual(["sub"]);
  });
});
