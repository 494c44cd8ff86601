import type { Page } from "./machine-store.js";

/** The project of everything that was there before there were projects. */
export const DEFAULT_PROJECT = "default";

/** How much a project may do and hold, as `project.proto` says: `undefined` for the server's own, 0 for no limit. */
export interface ProjectLimits {
  readonly requestsPerSecond?: number | undefined;
  readonly requestBurst?: number | undefined;
  readonly machines?: number | undefined;
  readonly vcpus?: number | undefined;
  readonly memoryMb?: number | undefined;
  readonly snapshots?: number | undefined;
  readonly snapshotMb?: number | undefined;
  readonly sshConnections?: number | undefined;
}

/** What a project holds. */
export interface ProjectUsage {
  readonly machines: number;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly snapshots: number;
  readonly snapshotBytes: number;
  readonly sshConnections: number;
}

/** A project's record. */
export interface Project {
  readonly id: string;
  readonly createdAt: Date;
  /** Its own limits. */
  readonly limits: ProjectLimits;
}

/**
 * Lets something new into a project, or not. A store asks in the transaction that adds it, so no
 * two that come at once both take the last place.
 */
export interface Admission {
  /** Whether a project with these limits has to be looked at. */
  readonly applies: (own: ProjectLimits) => boolean;
  /**
   * @param usage With what is about to be added.
   * @throws Fault QUOTA_EXCEEDED.
   */
  readonly check: (own: ProjectLimits, usage: ProjectUsage) => void;
}

/** Where projects' records are kept. */
export interface ProjectStore {
  /** @returns Whether it was added: false when there is one of this id. */
  insert(project: Project): Promise<boolean>;
  find(id: string): Promise<Project | undefined>;
  /** @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(limit: number, cursor: string): Promise<Page<Project>>;
  /** @returns `undefined` when there is no such project. */
  setLimits(id: string, limits: ProjectLimits): Promise<Project | undefined>;
  usage(id: string): Promise<ProjectUsage>;
}
