import { create, equals } from "@bufbuild/protobuf";
import { EgressMode, type EgressPolicy, EgressPolicySchema } from "@nullspace/proto";
import { parseCidr } from "./ipv4.js";
import { invalid } from "./limits.js";

const MAX_RANGES = 256;
const MAX_DOMAINS = 64;
const RATE_KBIT = { min: 8, max: 100_000_000 } as const;

/** What a machine may reach whose creator does not say. */
export function defaultEgress(): EgressPolicy {
  return create(EgressPolicySchema, { mode: EgressMode.ALLOW_ALL });
}

/** Whether two policies say the same. */
export function isSameEgress(one: EgressPolicy, other: EgressPolicy): boolean {
  return equals(EgressPolicySchema, one, other);
}

/**
 * Checks a policy and writes it in one way: names in lower case, each entry once.
 *
 * @throws Fault INVALID_ARGUMENT that names the field and what it may be.
 */
export function checkEgress(policy: EgressPolicy): EgressPolicy {
  const { mode, allowCidrs, denyCidrs, allowDomains, rateLimit } = policy;
  if (EgressMode[mode] === undefined || mode === EgressMode.UNSPECIFIED) {
    throw invalid("egress.mode", `is ${mode}`, "Use ALLOW_ALL, DENY_ALL or CUSTOM.");
  }
  const lists = [...allowCidrs, ...denyCidrs, ...allowDomains];
  if (mode !== EgressMode.CUSTOM && (lists.length > 0 || rateLimit !== undefined)) {
    throw invalid("egress", "has lists or a rate limit", "Set the mode CUSTOM for these.");
  }
  if (allowDomains.length > MAX_DOMAINS) {
    throw invalid(
      "egress.allow_domains",
      `has ${allowDomains.length} names`,
      `Use at most ${MAX_DOMAINS}.`,
    );
  }
  const kbit = rateLimit?.kbitPerSecond ?? RATE_KBIT.min;
  if (kbit < RATE_KBIT.min || kbit > RATE_KBIT.max) {
    throw invalid(
      "egress.rate_limit",
      `is ${kbit} kbit/s`,
      `Give ${RATE_KBIT.min} to ${RATE_KBIT.max} kbit/s, or leave it out for no limit.`,
    );
  }
  return create(EgressPolicySchema, {
    mode,
    allowCidrs: checkRanges("egress.allow_cidrs", allowCidrs),
    denyCidrs: checkRanges("egress.deny_cidrs", denyCidrs),
    allowDomains: [...new Set(allowDomains.map(checkDomain))],
    ...(rateLimit !== undefined && { rateLimit }),
  });
}

function checkRanges(field: string, ranges: readonly string[]): string[] {
  if (ranges.length > MAX_RANGES) {
    throw invalid(field, `has ${ranges.length} ranges`, `Use at most ${MAX_RANGES}.`);
  }
  for (const range of ranges) {
    if (parseCidr(range) !== undefined) continue;
    throw invalid(
      field,
      `${JSON.stringify(range.slice(0, 80))} is not a range of IPv4 addresses`,
      'Give "203.0.113.0/24", with no bits set behind the prefix, or one address. Machines have no IPv6.',
    );
  }
  return [...new Set(ranges)];
}

/** Labels as host names have them; underscores are in names of services. */
const DOMAIN =
  /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function checkDomain(domain: string): string {
  const name = domain.toLowerCase().replace(/\.$/, "");
  if (name.length <= 253 && DOMAIN.test(name) && parseCidr(name) === undefined) return name;
  throw invalid(
    "egress.allow_domains",
    `${JSON.stringify(domain.slice(0, 80))} is not a name`,
    'Give "example.com", or "*.example.com" for all names below it.',
  );
}
