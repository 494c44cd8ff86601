import { timestampDate } from "@bufbuild/protobuf/wkt";
import type {
  Project as ProjectMessage,
  ProjectLimits as ProjectLimitsMessage,
} from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { Connection } from "./connection.js";
import { InternalError } from "./errors.js";
import { Page, type PagePromise, pagePromise } from "./page.js";

/** How much a project may do and hold; undefined where the server's own limit counts, 0 for no limit. */
export interface ProjectLimits {
  /** Calls a second, over some time. */
  requestsPerSecond?: number | undefined;
  /** Calls at once after a rest; those of two seconds when not given. */
  requestBurst?: number | undefined;
  /** Machines that are being made, run or pause. */
  machines?: number | undefined;
  /** Virtual CPUs of those machines together. */
  vcpus?: number | undefined;
  /** Memory of those machines together, in MiB. */
  memoryMb?: number | undefined;
  /** Snapshots, with those of paused machines. */
  snapshots?: number | undefined;
  /** Bytes of those snapshots together, in MiB: the next one is refused when they are reached. */
  snapshotMb?: number | undefined;
  /** SSH connections that are open at once, of all its machines. */
  sshConnections?: number | undefined;
}

/** What a project holds. */
export interface ProjectUsage {
  machines: number;
  vcpus: number;
  memoryMb: number;
  snapshots: number;
  snapshotBytes: number;
  /** SSH connections that are open. */
  sshConnections: number;
}

/** A project: what belongs to it is invisible to keys of every other. */
export interface Project {
  id: string;
  createdAt: Date;
  /** Its own limits. */
  limits: ProjectLimits;
  /** The limits that count: its own, else the server's. */
  effectiveLimits: ProjectLimits;
}

/** A project and what it holds. */
export interface ProjectWithUsage extends Project {
  usage: ProjectUsage;
}

/** What {@link Projects.create} takes. */
export interface CreateProjectOptions extends CallOptions {
  limits?: ProjectLimits | undefined;
}

/** What {@link Projects.list} takes. */
export interface ListProjectsOptions extends CallOptions {
  /** Projects on a page, 1 to 100; 50 when not given. */
  limit?: number | undefined;
  /** `nextCursor` of the page before. */
  cursor?: string | undefined;
}

/** The projects of a server. All but {@link get} of one's own is for operators. */
export class Projects {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Makes a project.
   *
   * @param id 1 to 40 small letters, digits and hyphens, beginning with a letter
   * @throws ConflictError `PROJECT_EXISTS`
   */
  async create(id: string, options: CreateProjectOptions = {}): Promise<Project> {
    const limits = options.limits ?? {};
    const { project } = await this.#connection.unary(options, (attempt) =>
      this.#connection.projects.create({ id, limits: toMessage(limits) }, attempt),
    );
    return fromMessage(project);
  }

  /**
   * A project, its limits and what it holds; the key's own when `id` is not given.
   *
   * @throws NotFoundError `PROJECT_NOT_FOUND`
   */
  async get(id = "", options: CallOptions = {}): Promise<ProjectWithUsage> {
    const { project, usage } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.projects.get({ id }, attempt),
      { idempotent: true },
    );
    if (usage === undefined) throw new InternalError("the server's answer holds no usage");
    const { machines, vcpus, memoryMb, snapshots, snapshotBytes, sshConnections } = usage;
    const bytes = Number(snapshotBytes);
    return {
      ...fromMessage(project),
      usage: { machines, vcpus, memoryMb, snapshots, snapshotBytes: bytes, sshConnections },
    };
  }

  /** Lists projects, newest first: await it for a page, loop over it for all. */
  list(options: ListProjectsOptions = {}): PagePromise<Project> {
    return pagePromise(this.#page(options, options.cursor ?? ""));
  }

  /**
   * Sets a project's limits: those that are left out become the server's own. What it holds already
   * it keeps.
   *
   * @throws NotFoundError `PROJECT_NOT_FOUND`
   */
  async setLimits(id: string, limits: ProjectLimits, options: CallOptions = {}): Promise<Project> {
    const { project } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.projects.setLimits({ id, limits: toMessage(limits) }, attempt),
      { idempotent: true },
    );
    return fromMessage(project);
  }

  async #page(options: ListProjectsOptions, cursor: string): Promise<Page<Project>> {
    const { limit = 0 } = options;
    const { projects, nextCursor } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.projects.list({ limit, cursor }, attempt),
      { idempotent: true },
    );
    return new Page(projects.map(fromMessage), nextCursor, (next) => this.#page(options, next));
  }
}

function fromMessage(project: ProjectMessage | undefined): Project {
  if (project?.createdAt === undefined) {
    throw new InternalError("the server's answer holds no project");
  }
  const { id, createdAt, limits, effectiveLimits } = project;
  return {
    id,
    createdAt: timestampDate(createdAt),
    limits: limitsOf(limits),
    effectiveLimits: limitsOf(effectiveLimits),
  };
}

/** Those that are there: not the message, which has more to it. */
function limitsOf(limits: ProjectLimitsMessage | undefined): ProjectLimits {
  return limits === undefined ? {} : toMessage(limits);
}

function toMessage(limits: ProjectLimits) {
  const { requestsPerSecond, requestBurst, machines, vcpus, memoryMb } = limits;
  const { snapshots, snapshotMb, sshConnections } = limits;
  return {
    ...(requestsPerSecond !== undefined && { requestsPerSecond }),
    ...(requestBurst !== undefined && { requestBurst }),
    ...(machines !== undefined && { machines }),
    ...(vcpus !== undefined && { vcpus }),
    ...(memoryMb !== undefined && { memoryMb }),
    ...(snapshots !== undefined && { snapshots }),
    ...(snapshotMb !== undefined && { snapshotMb }),
    ...(sshConnections !== undefined && { sshConnections }),
  };
}
