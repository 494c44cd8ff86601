import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  EgressMode as EgressModeMessage,
  type EgressPolicy as EgressPolicyMessage,
  type EgressPolicySchema,
  type NetworkOptionsSchema,
} from "@nullspace/proto";

/** What a machine may reach, and how its previews behave. */
export interface NetworkOptions {
  /** What it may reach: `"allowAll"` when not given; of a snapshot, what its machine had. */
  egress?: EgressPolicy | undefined;
  /**
   * When false, each request to a preview must carry the machine's traffic access token as
   * well: `machine.trafficAccessToken`. True when not given.
   */
  allowPublicTraffic?: boolean | undefined;
  /** What services see as Host, with `${PORT}` for the port; the preview's own host when not given. */
  maskRequestHost?: string | undefined;
}

/**
 * What a machine may open connections to: everything, nothing, or what lists say. Private,
 * link-local and shared addresses and those of the host are never part of "everything", other
 * machines and IPv6 of nothing at all.
 */
export type EgressPolicy = "allowAll" | "denyAll" | CustomEgress;

/** What may be reached, and nothing else. */
export interface CustomEgress {
  /**
   * IPv4 ranges, as `203.0.113.0/24` or `203.0.113.7`; at most 256. `0.0.0.0/0` is all of the
   * Internet; private addresses are opened only by ranges that are private themselves.
   */
  allowCidrs?: readonly string[] | undefined;
  /** Ranges that may not be reached, whatever else allows them; at most 256. */
  denyCidrs?: readonly string[] | undefined;
  /** Names, as `example.com`, or `*.example.com` for all names below it; at most 64. */
  allowDomains?: readonly string[] | undefined;
  /** No limit when not given. */
  rateLimit?: EgressRateLimit | undefined;
}

/** How fast a machine may send and receive. */
export interface EgressRateLimit {
  /** Thousands of bits a second, in each direction; at least 8. */
  kbitPerSecond: number;
}

/** Options as the protocol has them. */
export function toNetworkMessage(
  options: NetworkOptions = {},
): MessageInitShape<typeof NetworkOptionsSchema> {
  const { egress, allowPublicTraffic = true, maskRequestHost = "" } = options;
  return {
    ...(egress !== undefined && { egress: toEgressMessage(egress) }),
    previews: { allowPublicTraffic, maskRequestHost },
  };
}

/** A policy as the protocol has it. */
export function toEgressMessage(policy: EgressPolicy): MessageInitShape<typeof EgressPolicySchema> {
  if (policy === "allowAll") return { mode: EgressModeMessage.ALLOW_ALL };
  if (policy === "denyAll") return { mode: EgressModeMessage.DENY_ALL };
  const { allowCidrs = [], denyCidrs = [], allowDomains = [], rateLimit } = policy;
  return {
    mode: EgressModeMessage.CUSTOM,
    allowCidrs: [...allowCidrs],
    denyCidrs: [...denyCidrs],
    allowDomains: [...allowDomains],
    ...(rateLimit && { rateLimit: { kbitPerSecond: rateLimit.kbitPerSecond } }),
  };
}

/** A policy as the SDK gives it. */
export function fromEgressMessage(message: EgressPolicyMessage | undefined): EgressPolicy {
  if (message?.mode === EgressModeMessage.ALLOW_ALL) return "allowAll";
  if (message?.mode !== EgressModeMessage.CUSTOM) return "denyAll";
  const { allowCidrs, denyCidrs, allowDomains, rateLimit } = message;
  return {
    allowCidrs,
    denyCidrs,
    allowDomains,
    ...(rateLimit && { rateLimit: { kbitPerSecond: rateLimit.kbitPerSecond } }),
  };
}
