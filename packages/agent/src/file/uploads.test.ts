import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Anchor, Spot } from "./anchor.js";
import { Uploads } from "./uploads.js";

const { uid, gid, username } = userInfo();
const user = { name: username, uid, gid, groups: [gid], home: "/", shell: "/bin/sh" };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nullspace-uploads-"));
});
afterEach(() => rm(folder, { recursive: true }));

const fail = (error: unknown) => {
  throw error;
};
const spot = () => new Spot(Anchor.open(folder), "file", join(folder, "file"));

test("an upload that nobody adds to is dropped", async () => {
  const uploads = new Uploads(join(folder, "state"), fail, 50);
  const id = await uploads.begin(spot(), { user, mode: 0 });
  await expect.poll(() => readdir(folder)).toEqual(["state"]);
  await expect(uploads.write(id, 0n, Buffer.from("x"))).rejects.toThrow(/no upload/);
});

test("the next agent removes what the former one has left half-written", async () => {
  const uploads = new Uploads(join(folder, "state"), fail);
  await uploads.begin(spot(), { user, mode: 0 });
  expect(await readdir(folder)).toHaveLength(2);
  const next = new Uploads(join(folder, "state"), fail);
  await expect(next.abort("unknown")).resolves.toBeUndefined();
  expect(await readdir(folder)).toEqual(["state"]);
  expect(await readdir(join(folder, "state"))).toEqual([]);
});
