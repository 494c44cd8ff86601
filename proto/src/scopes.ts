import { type DescMethod, getOption } from "@bufbuild/protobuf";
import {
  default_scope,
  required_scope,
  Scope,
  ScopeSchema,
  unaudited,
} from "./gen/nullspace/v1/scope_pb.js";

/** The scope that a call needs, as its .proto file says; UNSPECIFIED for one that nobody may make. */
export function scopeOf(method: DescMethod): Scope {
  const own = getOption(method, required_scope);
  return own === Scope.UNSPECIFIED ? getOption(method.parent, default_scope) : own;
}

/** Whether a call is kept in the audit trail. */
export function isAudited(method: DescMethod): boolean {
  return !getOption(method, unaudited) && !scopeName(scopeOf(method)).endsWith(":read");
}

type Named<Name extends string> = Name extends `${infer Family}_${infer Right}`
  ? `${Lowercase<Family>}:${Lowercase<Right>}`
  : Lowercase<Name>;

/** A scope as people write it. */
export type ScopeName = Exclude<Named<keyof typeof Scope>, "unspecified">;

const NAMES: ReadonlyMap<number, string> = new Map(
  ScopeSchema.values
    .filter(({ number }) => number !== 0)
    .map(({ number, localName }) => [number, localName.toLowerCase().replace("_", ":")]),
);

/** Every scope, as people write them. */
export const SCOPE_NAMES: readonly string[] = [...NAMES.values()];

/** How people write a scope: "machines:read". */
export function scopeName(scope: Scope): string {
  return NAMES.get(scope) ?? `unknown:${scope}`;
}

/** The scope that people write so; `undefined` when there is none. */
export function parseScope(name: string): Scope | undefined {
  for (const [scope, known] of NAMES) if (known === name) return scope;
  return undefined;
}
