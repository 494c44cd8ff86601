import { execFile } from "node:child_process";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { emptyOverlay } from "./qcow2-overlay.js";

const run = promisify(execFile);

async function qemuImg(...args: string[]): Promise<unknown> {
  const { stdout } = await run("qemu-img", args);
  return JSON.parse(stdout);
}

test.each([8, 513, 131_072])("qemu-img finds an overlay of %i MiB sound", async (sizeMb) => {
  const directory = await mkdtemp(join(tmpdir(), "overlay-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const backing = join(directory, "base.raw");
  await writeFile(backing, "what the base disk begins with");
  await truncate(backing, 8 * 1024 * 1024);
  const overlay = join(directory, "disk.qcow2");
  await writeFile(overlay, emptyOverlay(sizeMb, { path: "base.raw", format: "raw" }));

  expect(await qemuImg("check", "--output=json", overlay)).toMatchObject({ "check-errors": 0 });
  expect(await qemuImg("check", "--output=json", overlay)).not.toHaveProperty("leaks");
  expect(await qemuImg("info", "--output=json", overlay)).toMatchObject({
    format: "qcow2",
    "virtual-size": sizeMb * 1024 * 1024,
    "backing-filename": "base.raw",
    "backing-filename-format": "raw",
  });
  const { stdout } = await run("qemu-img", [
    "compare",
    "-f",
    "qcow2",
    "-F",
    "raw",
    overlay,
    backing,
  ]);
  expect(stdout).toContain("identical");
});
