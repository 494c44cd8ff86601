import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type ImageManifest, ImageManifestSchema } from "@nullspace/proto/host";
import { describe, expect, it } from "vitest";
import { assembleImage, DamagedStageError, makeNewest, newestImage, readImage } from "./image.ts";
import { ensureStage, type StageResult } from "./stage.ts";
import { silentProgress } from "./testing/silent-progress.ts";
import { temporaryFolder } from "./testing/temporary-folder.ts";

const NEVER = new AbortController().signal;

function stageWith(cache: string, file: string, text: string): Promise<StageResult> {
  const stage = {
    name: file,
    title: file,
    inputs: { text },
    files: [file],
    async build({ directory }: { directory: string }) {
      await writeFile(join(directory, file), text);
      return [`${file} 1.0`];
    },
  };
  return ensureStage(stage, { cache, progress: silentProgress(), signal: NEVER });
}

function description(digest: string): ImageManifest {
  return create(ImageManifestSchema, { format: 1, digest, name: "base", tag: "latest" });
}

describe("an image", () => {
  it("has the files of its stages, their checksums and its packages", async () => {
    await using home = await temporaryFolder();
    const images = join(home.path, "images");
    const stages = [
      await stageWith(join(home.path, "cache"), "vmlinuz", "kernel"),
      await stageWith(join(home.path, "cache"), "initrd", "early"),
    ];
    await assembleImage(images, description("d1"), stages, NEVER);
    const image = await readImage(join(images, "d1"));
    expect(Object.keys(image?.files ?? {}).toSorted()).toEqual(["initrd", "vmlinuz"]);
    expect(image?.files["vmlinuz"]?.size).toBe(6n);
    expect(image?.createdAt).toBeDefined();
    expect(await readdir(images)).toEqual(["d1"]);
    expect(await readFile(join(images, "d1", "packages.txt"), "utf8")).toBe(
      "initrd 1.0\nvmlinuz 1.0\n",
    );
    expect((await stat(join(images, "d1", "vmlinuz"))).mode & 0o222).toBe(0);
  });

  it("is not made of a file that changed since it was built", async () => {
    await using home = await temporaryFolder();
    const images = join(home.path, "images");
    const stage = await stageWith(join(home.path, "cache"), "vmlinuz", "kernel");
    await chmod(join(stage.directory, "vmlinuz"), 0o644);
    await writeFile(join(stage.directory, "vmlinuz"), "kernal");
    const assembling = assembleImage(images, description("d1"), [stage], NEVER);
    await expect(assembling).rejects.toThrow(DamagedStageError);
    expect(await readdir(images)).toEqual([]);
  });

  it("does not count when a file is missing or cut short, and is replaced", async () => {
    await using home = await temporaryFolder();
    const images = join(home.path, "images");
    const stage = await stageWith(join(home.path, "cache"), "vmlinuz", "kernel");
    await assembleImage(images, description("d1"), [stage], NEVER);
    const other = await stageWith(join(home.path, "cache"), "vmlinuz", "other kernel");
    // As after somebody swapped a file of the image itself.
    const manifest = join(images, "d1", "manifest.json");
    await writeFile(manifest, (await readFile(manifest, "utf8")).replace('"6"', '"7"'));
    expect(await readImage(join(images, "d1"))).toBeUndefined();
    await assembleImage(images, description("d1"), [other], NEVER);
    expect((await readImage(join(images, "d1")))?.files["vmlinuz"]?.size).toBe(12n);
    expect(await readdir(images)).toEqual(["d1"]);
  });

  it("becomes the newest again when a change is taken back", async () => {
    await using home = await temporaryFolder();
    const images = join(home.path, "images");
    expect(await newestImage(images, "base", "latest")).toBeUndefined();
    const stage = await stageWith(join(home.path, "cache"), "vmlinuz", "kernel");
    const first = await assembleImage(images, description("d1"), [stage], NEVER);
    await assembleImage(images, description("d2"), [stage], NEVER);
    expect(await newestImage(images, "base", "latest")).toBe("d2");
    await makeNewest(images, first);
    expect(await newestImage(images, "base", "latest")).toBe("d1");
    expect(await newestImage(images, "base", "other")).toBeUndefined();
  });
});
