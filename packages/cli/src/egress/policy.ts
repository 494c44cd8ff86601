import type { EgressPolicy } from "@nullspace/sdk";
import { UsageError } from "../usage-error.js";

/** Options that put a policy together. */
export interface EgressFlags {
  egress?: EgressWord;
  allow?: string[];
  deny?: string[];
  rateLimit?: number;
}

/** Words for the policies that need no list. */
export const EGRESS_WORDS = ["allow-all", "deny-all"] as const;
export type EgressWord = (typeof EGRESS_WORDS)[number];

/**
 * The policy that options speak of; `undefined` when there is none.
 *
 * @throws UsageError when a word and a list contradict each other.
 */
export function policyOf(flags: EgressFlags): EgressPolicy | undefined {
  const { egress, allow, deny, rateLimit } = flags;
  const isCustom = allow !== undefined || deny !== undefined || rateLimit !== undefined;
  if (egress !== undefined && isCustom) {
    throw new UsageError(
      `${egress} says all there is: leave out --allow, --deny and --rate-limit. For everything but some ranges: --allow 0.0.0.0/0 --deny ...`,
    );
  }
  if (egress !== undefined) return egress === "allow-all" ? "allowAll" : "denyAll";
  if (!isCustom) return undefined;
  const allowed = allow ?? [];
  return {
    allowCidrs: allowed.filter(isRange),
    allowDomains: allowed.filter((text) => !isRange(text)),
    denyCidrs: deny ?? [],
    ...(rateLimit !== undefined && { rateLimit: { kbitPerSecond: rateLimit } }),
  };
}

/** No name ends in a number. */
function isRange(text: string): boolean {
  return /^[\d./]+$/.test(text) || text.includes(":");
}

/** A policy in one line, for people. */
export function describePolicy(policy: EgressPolicy): string {
  if (policy === "allowAll") return "allow-all";
  if (policy === "denyAll") return "deny-all";
  const { allowCidrs = [], allowDomains = [], denyCidrs = [], rateLimit } = policy;
  const parts = [
    ...[...allowCidrs, ...allowDomains].map((entry) => `allow ${entry}`),
    ...denyCidrs.map((entry) => `deny ${entry}`),
    ...(rateLimit ? [`at most ${rateLimit.kbitPerSecond} kbit/s`] : []),
  ];
  return parts.length === 0 ? "deny-all" : parts.join(", ");
}
