import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ApiKey,
  ApiKeySchema,
  ErrorReason,
  type KeyService,
  type KeyServiceCreateRequest,
  type KeyServiceRevokeRequest,
  Scope,
} from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** KeyService over a list in memory. */
export class FakeKeys implements ServiceImpl<typeof KeyService> {
  readonly all: ApiKey[] = [];

  create = (request: KeyServiceCreateRequest) => {
    if (request.name === "") throw new Fault(ErrorReason.INVALID_ARGUMENT, "a key needs a name");
    const id = `k${this.all.length + 1}`;
    const { name, project, scopes } = request;
    const key = create(ApiKeySchema, {
      id,
      name,
      project: project || "default",
      scopes: scopes.length === 0 ? [Scope.PROJECT] : scopes,
      createdAt: timestampNow(),
    });
    this.all.push(key);
    return { key, secret: `ns_${id}_secret` };
  };

  list = () => ({ keys: this.all, nextCursor: "" });

  rotateSigning = () => ({
    keys: [
      { id: "new", createdAt: timestampNow() },
      {
        id: "old",
        createdAt: timestampNow(),
        retiredAt: timestampNow(),
        verifiesUntil: timestampNow(),
      },
    ],
  });

  revoke = (request: KeyServiceRevokeRequest) => {
    const key = this.all.find(({ id }) => id === request.id);
    if (key === undefined) {
      throw new Fault(ErrorReason.API_KEY_NOT_FOUND, `no API key has the id ${request.id}`);
    }
    key.revokedAt ??= timestampNow();
    return { key };
  };
}
