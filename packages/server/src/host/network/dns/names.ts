import { EgressMode, type EgressPolicy } from "@nullspace/proto";

/** What a policy says of a name: nothing may be known of it, or all, or its addresses are let through for an entry's sake. */
export type Verdict =
  | { readonly kind: "refuse" | "answer" }
  | { readonly kind: "pin"; readonly domain: string };

/** Holds a name against a policy. */
export function verdictOf(policy: EgressPolicy | undefined, name: string): Verdict {
  if (policy?.mode === EgressMode.ALLOW_ALL) return { kind: "answer" };
  if (policy?.mode !== EgressMode.CUSTOM) return { kind: "refuse" };
  const domain = policy.allowDomains.find((entry) => matches(entry, name));
  if (domain !== undefined) return { kind: "pin", domain };
  // Who may reach every address has no use for secrets kept from its resolver.
  return { kind: policy.allowCidrs.includes("0.0.0.0/0") ? "answer" : "refuse" };
}

/** Whether an entry, "example.com" or "*.example.com", is about a name. */
function matches(entry: string, name: string): boolean {
  return entry.startsWith("*.") ? name.endsWith(entry.slice(1)) : name === entry;
}
