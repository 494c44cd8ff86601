import { readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type ImageManifest, ImageManifestSchema } from "@nullspace/proto/host";
import { BuildError } from "./build-error.ts";
import {
  AGENT_PROTOCOL,
  DEFAULT_MEMORY_MB,
  DEFAULT_VCPUS,
  DISK_MB,
  KERNEL_ARGUMENTS,
  TEMPLATE_NAME,
  TEMPLATE_TAG,
} from "./definition.ts";
import { digestInputs } from "./digest.ts";
import { assembleImage, DamagedStageError, makeNewest, newestImage, readImage } from "./image.ts";
import { acquireLock } from "./lock.ts";
import type { Progress } from "./progress.ts";
import { ensureStage, type StageEnvironment, type StageResult, TEMPORARY_PREFIX } from "./stage.ts";
import { agentDiskStage } from "./stages/agent-disk.ts";
import { initramfsStage } from "./stages/initramfs.ts";
import { kernelRelease, platformStage } from "./stages/platform.ts";
import { rootStage } from "./stages/root.ts";

/** What to build and where. */
export interface BuildOptions {
  /** Folder of finished images: `$NULLSPACE_HOME/images`. */
  images: string;
  /** Folder of the parts they are made of. */
  cache: string;
  /** Folder of the agent's bundle. */
  agentBundle: string;
  progress: Progress;
  signal: AbortSignal;
}

/** An image that is there. */
export interface BuiltImage {
  digest: string;
  directory: string;
  /** Whether it was there before. */
  reused: boolean;
}

/**
 * Makes sure that the image is there and the newest of its template. Parts
 * whose inputs have not changed come from the cache; a build that was cut off
 * goes on with the first part that is missing.
 *
 * @throws BuildError with a remedy.
 */
export async function buildImage(options: BuildOptions): Promise<BuiltImage> {
  requireHost();
  const { images, cache, progress, signal } = options;
  await using resources = new AsyncDisposableStack();
  const onWait = (): void => progress.note("Another build of the image is running; waiting.");
  resources.use(await acquireLock(join(cache, "lock"), signal, onWait));
  await Promise.all([removeLeftovers(cache), removeLeftovers(images)]);

  const environment = { cache, progress, signal };
  const parts = await ensureStages(environment, options.agentBundle);
  const image = await ensureImage(parts, options, environment);
  await removeStale(cache, Object.values(image.parts));
  return image.built;
}

/** The stages of an image. */
interface Parts {
  root: StageResult;
  platform: StageResult;
  initramfs: StageResult;
  agentDisk: StageResult;
}

async function ensureStages(environment: StageEnvironment, bundle: string): Promise<Parts> {
  const root = await ensureStage(await rootStage(), environment);
  const platform = await ensureStage(await platformStage(), environment);
  const initramfs = await ensureStage(await initramfsStage(platform), environment);
  const agentDisk = await ensureStage(await agentDiskStage(platform, bundle), environment);
  return { root, platform, initramfs, agentDisk };
}

async function ensureImage(
  parts: Parts,
  options: BuildOptions,
  environment: StageEnvironment,
): Promise<{ built: BuiltImage; parts: Parts }> {
  const { images } = options;
  const manifest = await describeImage(parts);
  const { digest } = manifest;
  const directory = join(images, digest);
  const present = await readImage(directory);
  if (present !== undefined) {
    if ((await newestImage(images, TEMPLATE_NAME, TEMPLATE_TAG)) !== digest) {
      await makeNewest(images, present);
    }
    return { built: { digest, directory, reused: true }, parts };
  }
  const step = options.progress.begin("image");
  try {
    await assembleImage(images, manifest, Object.values(parts), options.signal);
    step.end();
    return { built: { digest, directory, reused: false }, parts };
  } catch (cause) {
    step.fail();
    if (!(cause instanceof DamagedStageError)) throw cause;
    options.progress.note(`${cause.message}; building it again.`);
    await rm(cause.stage.directory, { recursive: true });
    const again = await ensureStages(environment, options.agentBundle);
    return ensureImage(again, options, environment);
  }
}

/** The manifest without files and time. */
async function describeImage(parts: Parts): Promise<ImageManifest> {
  const manifest = create(ImageManifestSchema, {
    format: 1,
    name: TEMPLATE_NAME,
    tag: TEMPLATE_TAG,
    defaultVcpus: DEFAULT_VCPUS,
    defaultMemoryMb: DEFAULT_MEMORY_MB,
    diskMb: DISK_MB,
    kernelRelease: await kernelRelease(parts.platform.directory),
    kernelArguments: KERNEL_ARGUMENTS.join(" "),
    agentProtocol: AGENT_PROTOCOL,
  });
  manifest.digest = imageDigest(manifest, Object.values(parts));
  return manifest;
}

/** Over the inputs of every stage, what they turned into, and what the manifest says besides. */
function imageDigest(manifest: ImageManifest, stages: readonly StageResult[]): string {
  return digestInputs({
    template: `${manifest.name}:${manifest.tag}`,
    size: `${manifest.defaultVcpus} ${manifest.defaultMemoryMb} ${manifest.diskMb}`,
    kernel: `${manifest.kernelRelease} ${manifest.kernelArguments}`,
    agentProtocol: manifest.agentProtocol,
    stages: stages.map((stage) => basename(stage.directory)),
    resolved: stages.flatMap((stage) => stage.record.resolved),
  });
}

/** Nothing under a temporary name is being made while this process has the lock. */
async function removeLeftovers(parent: string): Promise<void> {
  const entries = await readdir(parent).catch((cause: unknown) => {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
    throw cause;
  });
  for (const entry of entries) {
    if (!entry.startsWith(TEMPORARY_PREFIX)) continue;
    await rm(join(parent, entry), { recursive: true, force: true });
  }
}

/** Removes stages that the present image does not use; older images keep their links to the files. */
async function removeStale(cache: string, used: readonly StageResult[]): Promise<void> {
  const keep = new Set(used.map((stage) => basename(stage.directory)));
  for (const entry of await readdir(cache, { withFileTypes: true })) {
    if (!entry.isDirectory() || keep.has(entry.name)) continue;
    await rm(join(cache, entry.name), { recursive: true, force: true });
  }
}

function requireHost(): void {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new BuildError(`images cannot be built on ${process.platform}/${process.arch}`, {
      remedy: "Use Linux on x86-64.",
    });
  }
  if (process.getuid?.() !== 0) {
    throw new BuildError("building an image needs root: it makes files of many owners", {
      remedy: "Run it again as root.",
    });
  }
}
