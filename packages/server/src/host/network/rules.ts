import { createHash } from "node:crypto";
import { EgressMode, type EgressPolicy } from "@nullspace/proto";
import { type Cidr, cidr, contains, formatCidr, withoutNested } from "../../domain/ipv4.js";
import {
  ALL_LINKS,
  DNS_PORT,
  GUEST,
  NETWORK_RANGE,
  NEVER,
  type NetworkNames,
  PRIVATE,
  type SlotNames,
} from "./addresses.js";

/** Addresses that one name may have at a time. */
const PINNED_ADDRESSES = 1024;

/**
 * The rules of the host for all machines of a server: what comes from them goes out under the
 * host's address, and never to another machine nor to the host itself, but for its answers to
 * questions for names and for addresses of its own that a policy names.
 *
 * @param opened - for each link, the private ranges that its machine's policy names.
 */
export function hostRules(
  names: NetworkNames,
  opened: ReadonlyMap<string, readonly Cidr[]>,
): string {
  const { table, links } = names;
  const elements = [...opened].flatMap(([link, ranges]) => openedElements(link, ranges));
  return `
table inet ${table}
delete table inet ${table}
table inet ${table} {
  set opened {
    typeof iifname . ip daddr
    flags interval
    ${elements.length === 0 ? "" : `elements = { ${elements.join(", ")} }`}
  }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "${links}" meta nfproto != ipv4 drop
    iifname "${links}" ip saddr != ${NETWORK_RANGE} drop
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
    iifname != "${links}" accept
    ip daddr ${NETWORK_RANGE} meta l4proto { tcp, udp } th dport ${DNS_PORT} accept
    iifname . ip daddr @opened accept
    drop
  }
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    iifname "${links}" oifname "${ALL_LINKS}" drop
    iifname "${ALL_LINKS}" oifname "${links}" drop
    oifname "${links}" ct state != { established, related } drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${NETWORK_RANGE} oifname != "${ALL_LINKS}" masquerade
  }
}
`;
}

/** Rules that change which private ranges a link's machine may reach, from some to others. */
export function openedRules(
  { table }: NetworkNames,
  link: string,
  from: readonly Cidr[],
  to: readonly Cidr[],
): string {
  const set = `inet ${table} opened`;
  const change = (verb: string, ranges: readonly Cidr[]) =>
    ranges.length === 0
      ? ""
      : `${verb} element ${set} { ${openedElements(link, ranges).join(", ")} }\n`;
  // Deleting needs what is there, and an attempt that failed may have left it out.
  return change("add", from) + change("delete", from) + change("add", to);
}

function openedElements(link: string, ranges: readonly Cidr[]): string[] {
  return ranges.map((range) => `"${link}" . ${formatCidr(range)}`);
}

/**
 * The rules of a new namespace, in which nothing passes until {@link policyRules} say so. Each
 * packet of a connection is held against the policy of the moment, by the address that the guest
 * asked for: a change needs no list of connections, and a reply is no way round.
 */
export function namespaceRules({ hostAddress, machineAddress }: SlotNames): string {
  return `
table inet machine {
  chain prerouting {
    type filter hook prerouting priority raw; policy drop;
    meta nfproto != ipv4 drop
    iifname "tap" ether saddr ${GUEST.mac} ip saddr ${GUEST.address} accept
    iifname "uplink" ip daddr ${machineAddress} accept
  }
  chain names {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "tap" ip daddr ${GUEST.gateway} meta l4proto { tcp, udp } th dport 53 dnat ip to ${hostAddress}:${DNS_PORT}
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "tap" reject with icmp admin-prohibited
  }
  chain output {
    type filter hook output priority filter; policy drop;
    oifname "tap" accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "tap" ct state invalid meta l4proto tcp reject with tcp reset
    ct state invalid drop
    iifname "tap" oifname "uplink" ct direction original goto allowed
    iifname "uplink" oifname "tap" ct direction reply ct state { established, related } goto allowed
  }
  chain allowed {
  }
  chain refuse {
    iifname "tap" meta l4proto tcp ct state established reject with tcp reset
    iifname "tap" reject with icmp admin-prohibited
    drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "uplink" masquerade
  }
}
`;
}

/** Rules that put a policy in the place of the former one, all at once. */
export function policyRules(policy: EgressPolicy, former: EgressPolicy | undefined): string {
  const domains = new Map(policy.allowDomains.map((name) => [markOf(name), pinnedSet(name)]));
  const gone = (former?.allowDomains ?? []).filter((name) => !domains.has(markOf(name)));
  return [
    "flush chain inet machine allowed",
    ...[...domains.values()].map(
      (set) =>
        `add set inet machine ${set} { type ipv4_addr; flags timeout; size ${PINNED_ADDRESSES}; }`,
    ),
    ...rulesOf(policy, domains).map((rule) => `add rule inet machine allowed ${rule}`),
    ...gone.map((name) => `delete set inet machine ${pinnedSet(name)}`),
    "",
  ].join("\n");
}

function rulesOf(policy: EgressPolicy, domains: ReadonlyMap<number, string>): string[] {
  if (policy.mode !== EgressMode.ALLOW_ALL && policy.mode !== EgressMode.CUSTOM)
    return ["goto refuse"];
  const fixed = [
    // Questions for names, which alone are sent on from the gateway to the host.
    `ct original ip daddr ${GUEST.gateway} ct status dnat accept`,
    `${to(NEVER)} goto refuse`,
  ];
  if (policy.mode === EgressMode.ALLOW_ALL) {
    return [...fixed, `${to(PRIVATE)} goto refuse`, "accept"];
  }
  const deny = ranges(policy.denyCidrs);
  const opened = openedBy(policy);
  const allow = ranges(policy.allowCidrs);
  return [
    ...fixed,
    ...(deny.length === 0 ? [] : [`${to(deny)} goto refuse`]),
    ...(opened.length === 0 ? [] : [`${to(opened)} accept`]),
    `${to(PRIVATE)} goto refuse`,
    ...(allow.length === 0 ? [] : [`${to(allow)} accept`]),
    ...domainRules(domains),
    "goto refuse",
  ];
}

/**
 * A connection that begins while its address is pinned to a name bears that name's mark, and goes
 * on for as long as the policy has the name, however short the answer held. Other resolvers stay
 * out of reach: an allowed name must not be the way to all names.
 */
function domainRules(domains: ReadonlyMap<number, string>): string[] {
  if (domains.size === 0) return [];
  return [
    "ct state new meta l4proto { tcp, udp } th dport { 53, 853 } goto refuse",
    ...[...domains].map(([mark, set]) => `ct state new ip daddr @${set} ct mark set ${mark}`),
    `ct mark { ${[...domains.keys()].join(", ")} } accept`,
  ];
}

/** Rules that pin addresses to a name for some seconds, anew if they are pinned already. */
export function pinRules(domain: string, addresses: readonly string[], seconds: number): string {
  const set = `inet machine ${pinnedSet(domain)}`;
  const plain = addresses.join(", ");
  const timed = addresses.map((address) => `${address} timeout ${seconds}s`).join(", ");
  // Adding alone leaves the time of one that is there; deleting alone needs one that is.
  return `add element ${set} { ${plain} }\ndelete element ${set} { ${plain} }\nadd element ${set} { ${timed} }\n`;
}

/** The private ranges that a policy names. */
export function openedBy(policy: EgressPolicy): Cidr[] {
  if (policy.mode !== EgressMode.CUSTOM) return [];
  // Before any is left out for lying in another: "all of the Internet" does not name what is private.
  const named = policy.allowCidrs
    .map(cidr)
    .filter((range) => PRIVATE.some((one) => contains(one, range)));
  return withoutNested(named);
}

/** Whether a policy never lets an answer lead here: private addresses are opened by ranges only. */
export function isNeverPinned(range: Cidr): boolean {
  return [...NEVER, ...PRIVATE].some((one) => contains(one, range));
}

/** What a connection to a name bears; the same for the same name, whoever counts. */
export function markOf(domain: string): number {
  // Never 0, which is no mark.
  return (createHash("sha256").update(domain).digest().readUInt32BE() >>> 1) + 1;
}

function pinnedSet(domain: string): string {
  return `name-${markOf(domain).toString(16)}`;
}

/** By what the guest asked for, in both directions of a connection. */
function to(list: readonly Cidr[]): string {
  return `ct original ip daddr { ${list.map(formatCidr).join(", ")} }`;
}

function ranges(list: readonly string[]): Cidr[] {
  return withoutNested(list.map(cidr));
}
