import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { TemplateImage } from "@nullspace/proto/host";
import { nearest } from "./edit-distance.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Log } from "./log.js";
import { SharedTasks } from "./shared-tasks.js";

/** What a snapshot is taken with, and what it was taken of. */
export interface CaptureSize {
  readonly imageDigest: string;
  readonly vcpus: number;
  readonly memoryMb: number;
}

/** Finds templates by name and has each captured once per size. */
export class Templates implements AsyncDisposable {
  readonly #host: HostClient;
  readonly #log: Log;
  readonly #captures = new SharedTasks<string>("abort");

  constructor(host: HostClient, log: Log) {
    this.#host = host;
    this.#log = log;
  }

  /**
   * Finds the template that a name means.
   *
   * @param reference `name:tag`, or `name` for its tag `latest`, or its newest tag where none is called so.
   * @throws Fault TEMPLATE_NOT_FOUND, with near names.
   */
  async resolve(reference: string, signal?: AbortSignal): Promise<TemplateImage> {
    const { templates } = await this.#host.getHost(
      {},
      { timeoutMs: HOST_DEADLINES_MS.getHost, ...(signal && { signal }) },
    );
    const found = findTemplate(reference, templates);
    if (found !== undefined) return found;
    throw templateNotFound(reference, templates);
  }

  /**
   * Has a template captured for a size, unless it is already. Callers that want
   * the same capture wait for the same one.
   *
   * @returns Id of the snapshot to start machines from.
   */
  async capture(size: CaptureSize, signal?: AbortSignal): Promise<string> {
    const name = `${size.imageDigest}/${size.vcpus}/${size.memoryMb}`;
    return this.#captures.run(name, (abort) => this.#prepare(size, abort), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#captures[Symbol.asyncDispose]();
  }

  async #prepare(size: CaptureSize, signal: AbortSignal): Promise<string> {
    const { imageDigest, vcpus, memoryMb } = size;
    const events = this.#host.prepareTemplate(
      { imageDigest, vcpus, memoryMb },
      { signal, timeoutMs: HOST_DEADLINES_MS.prepareTemplate },
    );
    let snapshotId: string | undefined;
    // Read to its end: a stream that is left early keeps its deadline's timer.
    for await (const { event } of events) {
      if (event.case === "snapshotId") snapshotId = event.value;
      if (event.case === "progress") this.#log.info({ ...size, progress: event.value }, "capture");
    }
    if (snapshotId !== undefined) return snapshotId;
    throw new Fault(ErrorReason.TEMPLATE_CAPTURE_FAILED, "the host ended a capture without one", {
      remedy: "Look for the capture in the server's log.",
    });
  }
}

/** Splits `name:tag`; the tag is `undefined` when only a name is given. */
export function parseTemplate(reference: string): { name: string; tag: string | undefined } {
  const [name = "", tag] = reference.split(":", 2);
  return { name, tag };
}

function findTemplate(
  reference: string,
  templates: readonly TemplateImage[],
): TemplateImage | undefined {
  const { name, tag } = parseTemplate(reference);
  const ofName = templates.filter((template) => template.name === name);
  if (tag !== undefined) return ofName.find((template) => template.tag === tag);
  return ofName.find((template) => template.tag === "latest") ?? ofName.at(0);
}

function templateNotFound(reference: string, templates: readonly TemplateImage[]): Fault {
  const names = new Set<string>();
  for (const { name, tag } of templates) names.add(name).add(`${name}:${tag}`);
  const near = nearest(reference, [...names]);
  const remedy =
    templates.length === 0
      ? "This server has no templates yet: build the guest image, or run nullspace-server doctor."
      : near.length > 0
        ? `Did you mean ${near.join(" or ")}?`
        : `This server has ${[...names].join(", ")}.`;
  return new Fault(ErrorReason.TEMPLATE_NOT_FOUND, `no template ${JSON.stringify(reference)}`, {
    remedy,
    details: { template: reference, nearest: near.join(", ") },
  });
}
