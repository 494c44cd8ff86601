import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type SshAccess as SshAccessMessage,
  SshAccessSchema,
  type SshService,
} from "@nullspace/proto";
import type { SshAccess } from "../domain/ssh/access.js";
import type { SshAccesses } from "../domain/ssh/accesses.js";
import { sshRelayPath } from "../domain/ssh/relay-path.js";
import { callerOf } from "./caller-context.js";

/** Whom images have besides root. */
const USER = "user";

/** SshService over the domain. */
export function sshService(accesses: SshAccesses): ServiceImpl<typeof SshService> {
  return {
    async createAccess({ machineId, publicKey, expiresInMinutes }, { signal, values }) {
      const { projectId } = callerOf(values);
      const request = { projectId, machineId, publicKey, expiresInMinutes };
      const granted = await accesses.create(request, signal);
      const { access, certificate, knownHosts, relayToken } = granted;
      return {
        access: toMessage(access),
        certificate,
        knownHosts,
        relayToken,
        relayPath: sshRelayPath(access.machineId),
        user: USER,
      };
    },

    async listAccess(query, { values }) {
      const { items, nextCursor } = await accesses.list(callerOf(values).projectId, query);
      return { access: items.map(toMessage), nextCursor };
    },

    async revokeAccess({ id }, { values }) {
      return { access: toMessage(await accesses.revoke(callerOf(values).projectId, id)) };
    },
  };
}

function toMessage(access: SshAccess): SshAccessMessage {
  const { id, machineId, fingerprint, createdAt, expiresAt, revokedAt, lastUsedAt } = access;
  return create(SshAccessSchema, {
    id,
    machineId,
    fingerprint,
    createdAt: timestampFromDate(createdAt),
    expiresAt: timestampFromDate(expiresAt),
    ...(revokedAt && { revokedAt: timestampFromDate(revokedAt) }),
    ...(lastUsedAt && { lastUsedAt: timestampFromDate(lastUsedAt) }),
    useCount: BigInt(access.useCount),
  });
}
