import type { ServiceImpl } from "@connectrpc/connect";
import type { GitService } from "@nullspace/proto/agent";
import { branchMethods } from "./branch-methods.js";
import { changeMethods } from "./change-methods.js";
import { historyMethods } from "./history-methods.js";
import { networkMethods } from "./network-methods.js";
import type { GitServiceOptions } from "./options.js";
import { repositoryMethods } from "./repository-methods.js";

/** Serves git; what clients see of it, in groups of methods that belong together. */
export function gitService(options: GitServiceOptions): ServiceImpl<typeof GitService> {
  return {
    ...repositoryMethods(options),
    ...changeMethods(options),
    ...branchMethods(options),
    ...historyMethods(options),
    ...networkMethods(options),
  };
}
