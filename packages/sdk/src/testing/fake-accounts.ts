import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  AuditEntrySchema,
  type AuditService,
  type AuditServiceListRequest,
  ErrorReason,
  type Project,
  ProjectSchema,
  type ProjectService,
  type ProjectServiceCreateRequest,
  type ProjectServiceGetRequest,
  type ProjectServiceSetLimitsRequest,
} from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

const AT = timestampFromMs(1_800_000_000_000);

/** ProjectService over a list in memory. */
export class FakeProjects implements ServiceImpl<typeof ProjectService> {
  readonly all: Project[] = [create(ProjectSchema, { id: "default", createdAt: AT, limits: {} })];

  create = ({ id, limits }: ProjectServiceCreateRequest) => {
    const project = create(ProjectSchema, { id, createdAt: AT, limits, effectiveLimits: limits });
    this.all.push(project);
    return { project };
  };

  get = ({ id }: ProjectServiceGetRequest) => ({
    project: this.#find(id || "default"),
    usage: {
      machines: 2,
      vcpus: 4,
      memoryMb: 1024,
      snapshots: 1,
      snapshotBytes: 4096n,
      sshConnections: 3,
    },
  });

  list = () => ({ projects: this.all, nextCursor: "" });

  setLimits = ({ id, limits }: ProjectServiceSetLimitsRequest) => {
    const project = this.#find(id);
    project.limits = limits;
    project.effectiveLimits = limits;
    return { project };
  };

  #find(id: string): Project {
    const project = this.all.find((one) => one.id === id);
    if (project !== undefined) return project;
    throw new Fault(ErrorReason.PROJECT_NOT_FOUND, `no project "${id}"`);
  }
}

/** AuditService with two pages of one entry. */
export const fakeAudit: ServiceImpl<typeof AuditService> = {
  list: ({ project, keyId, cursor }: AuditServiceListRequest) => ({
    entries: [
      create(AuditEntrySchema, {
        id: cursor || "1",
        createdAt: AT,
        project: project || "default",
        keyId: keyId || "k1",
        rpc: "nullspace.v1.MachineService/Create",
        objectId: cursor === "" ? "m1" : "",
        outcome: cursor === "" ? "ok" : "QUOTA_EXCEEDED",
        requestId: "r1",
      }),
    ],
    nextCursor: cursor === "" ? "2" : "",
  }),
};
