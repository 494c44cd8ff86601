import { execFile } from "node:child_process";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeEach, expect, test } from "vitest";
import { mergeDisks } from "./merge-disks.js";

const run = promisify(execFile);
const { signal } = new AbortController();

let directory: string;
let base: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "merge-"));
  base = join(directory, "base.raw");
  await writeFile(base, Buffer.alloc(1 << 20, 9));
  await truncate(base, 8 << 20);
  return async () => rm(directory, { recursive: true });
});

/** An overlay with what `qemu-io` writes into it. */
async function overlay(name: string, backing: string, writes: string[], size = "8M") {
  const path = join(directory, `${name}.qcow2`);
  const format = backing.endsWith(".raw") ? "raw" : "qcow2";
  await run("qemu-img", ["create", "-f", "qcow2", "-b", backing, "-F", format, path, size]);
  await run("qemu-io", [...writes.flatMap((write) => ["-c", write]), path]);
  return path;
}

test("one overlay holds what many held, whatever they call each other", async () => {
  const first = await overlay("first", base, ["write -P 1 0 64k", "write -P 1 1M 64k"]);
  const second = await overlay("second", first, ["write -P 2 1M 64k", "write -z 512k 64k"]);
  const third = await overlay("third", second, ["write -P 3 2M 64k", "write -P 3 9M 1M"], "10M");
  const same = join(directory, "same.raw");
  await run("qemu-img", ["convert", "-O", "raw", third, same]);
  // A layer that was flattened since has another name below.
  await run("qemu-img", ["rebase", "-u", "-b", "gone.qcow2", "-F", "qcow2", third]);

  const target = join(directory, "target.qcow2");
  await mergeDisks({ base, layers: [first, second, third], target, signal });
  const { stdout } = await run("qemu-img", ["compare", "-F", "raw", target, same]);
  expect(stdout).toContain("identical");
  const info: unknown = JSON.parse(
    (await run("qemu-img", ["info", "--output=json", target])).stdout,
  );
  expect(info).toMatchObject({ "backing-filename": base });
  // Only what the overlays held, not what lies at the bottom.
  expect(Number(Reflect.get(Object(info), "actual-size"))).toBeLessThan(3 << 20);
});

test("a chain with a part missing is an error", async () => {
  const first = await overlay("first", base, ["write -P 1 0 64k"]);
  const layers = [join(directory, "missing.qcow2"), first];
  const target = join(directory, "target.qcow2");
  await expect(mergeDisks({ base, layers, target, signal })).rejects.toThrow("missing.qcow2");
});
