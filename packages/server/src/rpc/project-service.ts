import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Project as ProjectMessage,
  type ProjectLimits as ProjectLimitsMessage,
  ProjectLimitsSchema,
  ProjectSchema,
  type ProjectService,
} from "@nullspace/proto";
import type { Project, ProjectLimits } from "../domain/project.js";
import type { Projects } from "../domain/projects.js";
import type { Quotas } from "../domain/quotas.js";
import { callerOf } from "./caller-context.js";

/** ProjectService over the domain. */
export function projectService(
  projects: Projects,
  quotas: Quotas,
): ServiceImpl<typeof ProjectService> {
  const toMessage = ({ id, createdAt, limits }: Project): ProjectMessage =>
    create(ProjectSchema, {
      id,
      createdAt: timestampFromDate(createdAt),
      limits: toLimitsMessage(limits),
      effectiveLimits: toLimitsMessage(quotas.effective(limits)),
    });
  return {
    async create({ id, limits }) {
      return { project: toMessage(await projects.create(id, fromLimitsMessage(limits))) };
    },

    async get({ id }, { values }) {
      const { project, usage } = await projects.get(callerOf(values), id);
      return {
        project: toMessage(project),
        usage: { ...usage, snapshotBytes: BigInt(usage.snapshotBytes) },
      };
    },

    async list({ limit, cursor }) {
      const { items, nextCursor } = await projects.list(limit, cursor);
      return { projects: items.map(toMessage), nextCursor };
    },

    async setLimits({ id, limits }) {
      return { project: toMessage(await projects.setLimits(id, fromLimitsMessage(limits))) };
    },
  };
}

function toLimitsMessage(limits: ProjectLimits): ProjectLimitsMessage {
  const given = Object.entries(limits).filter(([, value]) => value !== undefined);
  return create(ProjectLimitsSchema, Object.fromEntries<number>(given));
}

function fromLimitsMessage(limits: ProjectLimitsMessage | undefined): ProjectLimits {
  if (limits === undefined) return {};
  const { requestsPerSecond, requestBurst, machines, vcpus, memoryMb } = limits;
  const { snapshots, snapshotMb, sshConnections } = limits;
  const holdings = { machines, vcpus, memoryMb, snapshots, snapshotMb, sshConnections };
  return { requestsPerSecond, requestBurst, ...holdings };
}
