import { execFile } from "node:child_process";
import {
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { create, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { FileDigestSchema, type ImageManifest, ImageManifestSchema } from "@nullspace/proto/host";
import { sumFile } from "./digest.ts";
import { flush, type StageResult, TEMPORARY_PREFIX } from "./stage.ts";

/** File that makes a folder an image. */
const MANIFEST = "manifest.json";

/** Versions of the Debian packages that an image was made from, for people. */
const PACKAGES = "packages.txt";

/** A file of a stage is not what it was when the stage was built. */
export class DamagedStageError extends Error {
  override readonly name = "DamagedStageError";
  readonly stage: StageResult;

  constructor(stage: StageResult, file: string) {
    super(`${join(stage.directory, file)} has changed since it was built`);
    this.stage = stage;
  }
}

/**
 * The manifest of an image that is whole, or `undefined`. Sizes are compared,
 * contents are not: whoever boots an image checks those.
 */
export async function readImage(directory: string): Promise<ImageManifest | undefined> {
  try {
    const text = await readFile(join(directory, MANIFEST), "utf8");
    const manifest = fromJsonString(ImageManifestSchema, text, { ignoreUnknownFields: true });
    for (const [name, file] of Object.entries(manifest.files)) {
      const { size } = await stat(join(directory, name));
      if (BigInt(size) !== file.size) return undefined;
    }
    return manifest;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw cause;
  }
}

/**
 * Makes the image folder `images/<digest>`. Its files are links to those of
 * the stages, so an image that shares its root disk with another costs nothing.
 *
 * @param description the manifest without `files` and `createdAt`.
 * @throws DamagedStageError if a file of a stage does not have its checksum any more.
 */
export async function assembleImage(
  images: string,
  description: ImageManifest,
  stages: readonly StageResult[],
  signal: AbortSignal,
): Promise<ImageManifest> {
  const manifest = create(ImageManifestSchema, {
    ...description,
    files: {},
    createdAt: timestampNow(),
  });
  await mkdir(images, { recursive: true });
  const work = await mkdtemp(join(images, `${TEMPORARY_PREFIX}image-`));
  try {
    const result = join(work, "result");
    await mkdir(result);
    for (const stage of stages) {
      for (const [name, sum] of Object.entries(stage.record.files)) {
        await place(join(stage.directory, name), join(result, name), signal);
        const actual = await sumFile(join(result, name), signal);
        if (actual.sha256 !== sum.sha256) throw new DamagedStageError(stage, name);
        manifest.files[name] = create(FileDigestSchema, {
          size: BigInt(sum.size),
          sha256: sum.sha256,
        });
      }
    }
    const packages = stages.flatMap((stage) => stage.record.resolved).toSorted();
    await writeFile(join(result, PACKAGES), packages.map((line) => `${line}\n`).join(""));
    await writeFile(join(result, MANIFEST), toText(manifest));
    await flush(result);
    const directory = join(images, manifest.digest);
    // One that is there is not whole. QEMU may still read it: its open files outlive the names.
    await rename(directory, join(work, "replaced")).catch(ignoreMissing);
    await rename(result, directory);
    return manifest;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Makes an image the newest of its template again, as after a change that was taken back. */
export async function makeNewest(images: string, manifest: ImageManifest): Promise<void> {
  const directory = join(images, manifest.digest);
  const temporary = join(directory, `${TEMPORARY_PREFIX}${MANIFEST}`);
  await writeFile(temporary, toText({ ...manifest, createdAt: timestampNow() }), { flush: true });
  await rename(temporary, join(directory, MANIFEST));
}

/** The digest of the newest image of a template, or `undefined` if there is none. */
export async function newestImage(
  images: string,
  name: string,
  tag: string,
): Promise<string | undefined> {
  let newest: ImageManifest | undefined;
  for (const entry of await readdir(images).catch(noEntries)) {
    if (entry.startsWith(TEMPORARY_PREFIX)) continue;
    const manifest = await readImage(join(images, entry));
    if (manifest?.name !== name || manifest.tag !== tag) continue;
    if (newest === undefined || createdAt(manifest) > createdAt(newest)) newest = manifest;
  }
  return newest?.digest;
}

/** A link, or a copy that keeps holes where the cache is on another file system. */
async function place(source: string, target: string, signal: AbortSignal): Promise<void> {
  try {
    await link(source, target);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "EXDEV")) throw cause;
    await promisify(execFile)("cp", ["--sparse=always", "--preserve=mode", source, target], {
      signal,
    });
  }
}

function createdAt(manifest: ImageManifest): bigint {
  const { seconds = 0n, nanos = 0 } = manifest.createdAt ?? {};
  return seconds * 1_000_000_000n + BigInt(nanos);
}

function toText(manifest: ImageManifest): string {
  return `${toJsonString(ImageManifestSchema, manifest, { prettySpaces: 2 })}\n`;
}

function ignoreMissing(cause: unknown): void {
  if (!(cause instanceof Error && "code" in cause && cause.code === "ENOENT")) throw cause;
}

function noEntries(cause: unknown): string[] {
  ignoreMissing(cause);
  return [];
}
