import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { TransferDirection, type TransferService } from "@nullspace/proto";

/** Gives URLs that say what was asked for, and lead nowhere. */
export const fakeTransfers: ServiceImpl<typeof TransferService> = {
  createUrl({ machineId, direction, path, expiresInSeconds, user }) {
    const query = new URLSearchParams({
      path,
      direction: TransferDirection[direction],
      user,
      seconds: String(expiresInSeconds),
    });
    const url = `/v1/files/${machineId}/file?${query.toString()}`;
    return { url, expiresAt: timestampFromMs(Date.now() + expiresInSeconds * 1000) };
  },
};
