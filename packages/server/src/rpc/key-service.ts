import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ApiKey as ApiKeyMessage,
  ApiKeySchema,
  type KeyService,
  type SigningKey as SigningKeyMessage,
  SigningKeySchema,
} from "@nullspace/proto";
import type { ApiKey } from "../domain/key-store.js";
import type { Keys } from "../domain/keys.js";
import { type SigningKey, type SigningKeys, verifiesUntil } from "../domain/signing-keys.js";
import { callerOf } from "./caller-context.js";

/** KeyService over the domain. */
export function keyService(keys: Keys, signingKeys: SigningKeys): ServiceImpl<typeof KeyService> {
  return {
    async create({ name, project, scopes }, { values }) {
      const request = { name, projectId: project, scopes };
      const { key, secret } = await keys.create(callerOf(values), request);
      return { key: toKeyMessage(key), secret };
    },

    async list({ project, limit, cursor }, { values }) {
      const caller = callerOf(values);
      const { items, nextCursor } = await keys.list(caller, project, limit, cursor);
      return { keys: items.map(toKeyMessage), nextCursor };
    },

    async rotateSigning({ immediately }) {
      await signingKeys.rotate(immediately);
      return { keys: signingKeys.list().map(toSigningKeyMessage) };
    },

    async revoke({ id }, { values }) {
      return { key: toKeyMessage(await keys.revoke(callerOf(values), id)) };
    },
  };
}

function toKeyMessage(key: ApiKey): ApiKeyMessage {
  const { id, name, projectId, scopes, createdAt, lastUsedAt, revokedAt } = key;
  return create(ApiKeySchema, {
    id,
    name,
    project: projectId,
    scopes: [...scopes],
    createdAt: timestampFromDate(createdAt),
    ...(lastUsedAt && { lastUsedAt: timestampFromDate(lastUsedAt) }),
    ...(revokedAt && { revokedAt: timestampFromDate(revokedAt) }),
  });
}

function toSigningKeyMessage(key: SigningKey): SigningKeyMessage {
  const { id, createdAt, retiredAt } = key;
  const until = verifiesUntil(key);
  return create(SigningKeySchema, {
    id,
    createdAt: timestampFromDate(createdAt),
    ...(retiredAt && { retiredAt: timestampFromDate(retiredAt) }),
    ...(until && { verifiesUntil: timestampFromDate(until) }),
  });
}
