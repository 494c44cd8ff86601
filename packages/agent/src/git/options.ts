import type { Git } from "./git.js";
import type { GitNetwork } from "./network.js";

/** What the methods of the service need. */
export interface GitServiceOptions {
  git: Git;
  network: GitNetwork;
  /** The absolute path of a folder to be made; throws where nobody may write. */
  newFolder: (path: string) => string;
}
