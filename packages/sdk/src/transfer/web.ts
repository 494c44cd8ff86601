import { NullspaceError } from "../errors.js";

function unavailable(): never {
  throw new NullspaceError("there are no local files here", {
    code: "unimplemented",
    reason: "UNIMPLEMENTED",
    remedy: "Use files.write and files.read, which take and give Blobs and streams.",
  });
}

/** Transfers of local files, where there are none. */
export const uploadFile = async (): Promise<never> => unavailable();
export const uploadDir = async (): Promise<never> => unavailable();
export const downloadFile = async (): Promise<never> => unavailable();
export const downloadDir = async (): Promise<never> => unavailable();
