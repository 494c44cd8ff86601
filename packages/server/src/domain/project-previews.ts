import { machineNotFound } from "./faults.js";
import type { Machine } from "./machine.js";
import type { MachineStore, Page } from "./machine-store.js";
import type { PreviewPlace } from "./preview-address.js";
import type { PreviewGrant, PreviewPass, PreviewQuery, PreviewStore } from "./preview-grant.js";
import { previewNotFound, type PreviewRequest, type Previews } from "./previews.js";

/** Where {@link ProjectPreviews} looks whose something is. */
export interface ProjectPreviewsOptions {
  readonly machineStore: MachineStore;
  readonly previewStore: PreviewStore;
}

/** The previews of one project's machines: those of another are to its callers like what never was. */
export class ProjectPreviews {
  readonly #previews: Previews;
  readonly #options: ProjectPreviewsOptions;
  readonly #projectId: string;

  constructor(previews: Previews, options: ProjectPreviewsOptions, projectId: string) {
    this.#previews = previews;
    this.#options = options;
    this.#projectId = projectId;
  }

  /** See {@link Previews.create}. */
  async create(request: PreviewRequest): Promise<{ pass: PreviewPass; machine: Machine }> {
    await this.#require(request.machineId);
    return this.#previews.create(request);
  }

  /** See {@link Previews.find}. */
  async find(place: PreviewPlace): Promise<Machine> {
    await this.#require(place.machineId);
    return this.#previews.find(place);
  }

  /** See {@link Previews.list}. */
  async list(query: PreviewQuery): Promise<Page<PreviewGrant>> {
    await this.#require(query.machineId);
    return this.#previews.list(query);
  }

  /** See {@link Previews.revoke}. */
  async revoke(id: string): Promise<PreviewGrant> {
    const grant = await this.#options.previewStore.find(id);
    if (grant === undefined || !(await this.#has(grant.machineId))) throw previewNotFound(id);
    return this.#previews.revoke(id);
  }

  async #require(machineId: string): Promise<void> {
    if (!(await this.#has(machineId))) throw machineNotFound(machineId);
  }

  async #has(machineId: string): Promise<boolean> {
    return (await this.#options.machineStore.findIn(this.#projectId, machineId)) !== undefined;
  }
}
