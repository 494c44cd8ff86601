import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { TransferDirection, type TransferService } from "@nullspace/proto";
import type { Caller } from "../domain/caller.js";
import { invalid } from "../domain/limits.js";
import type { ProjectMachines } from "../domain/project-machines.js";
import type { TransferUrls } from "../domain/transfer-urls.js";
import { callerOf } from "./caller-context.js";

/** TransferService over the domain. */
export function transferService(
  machinesOf: (caller: Caller) => ProjectMachines,
  transferUrls: TransferUrls,
): ServiceImpl<typeof TransferService> {
  return {
    async createUrl({ machineId, direction, path, expiresInSeconds, user }, { values }) {
      const wanted = {
        machineId,
        direction: fromMessage(direction),
        path,
        user,
        expiresInSeconds,
      };
      // A URL for a machine that there is not would fail only when somebody uses it.
      await machinesOf(callerOf(values)).getRunning(machineId);
      const { url, expiresAt } = transferUrls.sign(wanted);
      return { url, expiresAt: timestampFromDate(expiresAt) };
    },
  };
}

function fromMessage(direction: TransferDirection): "download" | "upload" {
  if (direction === TransferDirection.DOWNLOAD) return "download";
  if (direction === TransferDirection.UPLOAD) return "upload";
  throw invalid("direction", "is not given", "Say whether the URL is for a download or an upload.");
}
