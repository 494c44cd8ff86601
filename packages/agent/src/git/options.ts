import type { Git } from "./git.js";
import type { GitNetwork } from "./network.js";

/** What the methods of the service need. */
export interface GitServiceOptions {
  git: Git;
  network: GitNetwork;
  /** Throws for folders that nobody may write to. */
  checkPath: (path: string) => void;
}
