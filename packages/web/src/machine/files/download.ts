import type { Files } from "@nullspace/sdk";
import { parentOf } from "./paths";

/** How long a download's URL is good: it is used at once. */
const URL_SECONDS = 60;

/** Lets the browser download a file, of any size. */
export async function download(files: Files, path: string): Promise<void> {
  const { url } = await files.downloadUrl(path, { expiresInSeconds: URL_SECONDS });
  const link = document.createElement("a");
  link.href = url;
  const parent = parentOf(path);
  link.download = path.slice(parent === "/" ? 1 : parent.length + 1);
  link.click();
}
