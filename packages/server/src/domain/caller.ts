import { ErrorReason, Scope, scopeName } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** Who makes a call: a key, the project that it belongs to, and what it may do. */
export interface Caller {
  readonly keyId: string;
  readonly projectId: string;
  readonly scopes: readonly Scope[];
}

/** Whether scopes include another one: "admin" has all, "project" all but that one. */
export function hasScope(scopes: readonly Scope[], wanted: Scope): boolean {
  if (wanted === Scope.UNSPECIFIED) return false;
  if (scopes.includes(Scope.ADMIN) || scopes.includes(wanted)) return true;
  return wanted !== Scope.ADMIN && scopes.includes(Scope.PROJECT);
}

/** @throws Fault SCOPE_MISSING when a caller may not do what the scope is for. */
export function requireScope({ scopes }: Caller, wanted: Scope): void {
  if (hasScope(scopes, wanted)) return;
  const name = scopeName(wanted);
  throw new Fault(ErrorReason.SCOPE_MISSING, `this API key does not have the scope ${name}`, {
    remedy: `Use a key with it, made by: nullspace key create --scope ${name}`,
    details: { scope: name },
  });
}

/**
 * The project that a caller means.
 *
 * @param projectId Empty for the caller's own.
 * @throws Fault SCOPE_MISSING for another one, unless the caller is an operator.
 */
export function projectOf(caller: Caller, projectId: string): string {
  if (projectId === "" || projectId === caller.projectId) return caller.projectId;
  requireScope(caller, Scope.ADMIN);
  return projectId;
}
