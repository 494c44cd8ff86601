import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type ApiKey as ApiKeyMessage, ApiKeySchema, type KeyService } from "@nullspace/proto";
import type { ApiKey } from "../domain/key-store.js";
import type { Keys } from "../domain/keys.js";

/** KeyService over the domain. */
export function keyService(keys: Keys): ServiceImpl<typeof KeyService> {
  return {
    async create({ name }) {
      const { key, secret } = await keys.create(name);
      return { key: toKeyMessage(key), secret };
    },

    async list({ limit, cursor }) {
      const { items, nextCursor } = await keys.list(limit, cursor);
      return { keys: items.map(toKeyMessage), nextCursor };
    },

    async revoke({ id }) {
      return { key: toKeyMessage(await keys.revoke(id)) };
    },
  };
}

function toKeyMessage({ id, name, createdAt, lastUsedAt, revokedAt }: ApiKey): ApiKeyMessage {
  return create(ApiKeySchema, {
    id,
    name,
    createdAt: timestampFromDate(createdAt),
    ...(lastUsedAt && { lastUsedAt: timestampFromDate(lastUsedAt) }),
    ...(revokedAt && { revokedAt: timestampFromDate(revokedAt) }),
  });
}
