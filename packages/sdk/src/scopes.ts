import {
  parseScope,
  type Scope as ScopeMessage,
  SCOPE_NAMES,
  type ScopeName,
} from "@nullspace/proto";
import { InvalidArgumentError } from "./errors.js";

/** What an API key may do: `project` for everything in its project, `machines:read`, ... */
export type Scope = ScopeName;

/** @throws InvalidArgumentError that names those there are */
export function toScopeMessage(scope: string): ScopeMessage {
  const message = parseScope(scope);
  if (message !== undefined) return message;
  throw new InvalidArgumentError(`no scope is called ${JSON.stringify(scope)}`, {
    remedy: `Use some of: ${SCOPE_NAMES.join(", ")}.`,
  });
}
