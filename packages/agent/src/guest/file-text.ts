import type { GuestHelper } from "../helper/guest-helper.js";

/** A small file and what it is to hold. */
export interface FileText {
  path: string;
  text: string;
  /** Permission bits; 0 leaves them to the kernel, for files of its own. */
  mode: number;
}

/** Has the helper put files in place of those there are. */
export async function replaceFiles(helper: GuestHelper, files: readonly FileText[]): Promise<void> {
  await helper.request("replace", ...files.flatMap(fields));
}

/** Has the helper write into files, which whoever watches them then sees. */
export async function writeFiles(helper: GuestHelper, files: readonly FileText[]): Promise<void> {
  await helper.request("write", ...files.flatMap(fields));
}

function fields({ path, text, mode }: FileText): string[] {
  return [path, mode.toString(8), text];
}
