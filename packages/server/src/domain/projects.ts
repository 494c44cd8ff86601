import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type Caller, projectOf } from "./caller.js";
import { projectNotFound } from "./faults.js";
import { invalid, pageSize } from "./limits.js";
import type { Page } from "./machine-store.js";
import type { Project, ProjectLimits, ProjectStore, ProjectUsage } from "./project.js";

const ID = /^[a-z][a-z0-9-]{0,39}$/;

/** What operators do with projects. */
export class Projects {
  readonly #store: ProjectStore;

  constructor(store: ProjectStore) {
    this.#store = store;
  }

  /** @throws Fault INVALID_ARGUMENT for a bad id, PROJECT_EXISTS. */
  async create(id: string, limits: ProjectLimits): Promise<Project> {
    if (!ID.test(id)) {
      throw invalid(
        "id",
        "is no name of a project",
        "Use 1 to 40 small letters, digits and hyphens, beginning with a letter.",
      );
    }
    const project = { id, createdAt: new Date(), limits };
    if (await this.#store.insert(project)) return project;
    throw new Fault(ErrorReason.PROJECT_EXISTS, `there is a project ${id} already`, {
      remedy: "Choose another name, or use that project.",
      details: { project: id },
    });
  }

  /**
   * A project and what it holds.
   *
   * @param id The caller's own when empty.
   * @throws Fault PROJECT_NOT_FOUND, SCOPE_MISSING.
   */
  async get(caller: Caller, id: string): Promise<{ project: Project; usage: ProjectUsage }> {
    const project = await this.find(projectOf(caller, id));
    return { project, usage: await this.#store.usage(project.id) };
  }

  /** @throws Fault PROJECT_NOT_FOUND. */
  async find(id: string): Promise<Project> {
    const project = await this.#store.find(id);
    if (project === undefined) throw projectNotFound(id);
    return project;
  }

  /**
   * Projects, newest first.
   *
   * @param limit 1 to 100; 50 when 0.
   * @throws Fault INVALID_ARGUMENT.
   */
  async list(limit: number, cursor: string): Promise<Page<Project>> {
    return this.#store.list(pageSize(limit), cursor);
  }

  /** @throws Fault PROJECT_NOT_FOUND. */
  async setLimits(id: string, limits: ProjectLimits): Promise<Project> {
    const project = await this.#store.setLimits(id, limits);
    if (project === undefined) throw projectNotFound(id);
    return project;
  }
}
